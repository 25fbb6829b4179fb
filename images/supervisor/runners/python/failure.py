"""Uncaught exceptions: as text for stderr and as a structure for the result, both without the runner's own frames."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


RUNNERS = os.path.dirname(os.path.abspath(__file__)) + os.sep
MAX_FRAMES = 50


def trim_traceback(error: BaseException, code_file: str) -> BaseException:
    """Drops the frames that lead from the runner (and asyncio) into the guest's code, if it ran at all."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != code_file:
        trace = trace.tb_next
    if trace is None:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(RUNNERS):
            trace = trace.tb_next
    return error.with_traceback(trace)


def print_error(error: BaseException) -> None:
    """Through `sys.excepthook`, as the interpreter does; the built-in hook would read source lines from disk only."""
    hook = sys.excepthook
    try:
        if hook is sys.__excepthook__:
            traceback.print_exception(error)
        else:
            hook(type(error), error, error.__traceback__)
    except BaseException:
        traceback.print_exc()


def describe_error(error: BaseException) -> tuple[dict[str, Any], bool]:
    """The structure, innermost frame last, and whether outer frames were left out."""
    frames = list(traceback.walk_tb(error.__traceback__))
    described = [describe_frame(frame, line) for frame, line in frames[-MAX_FRAMES:]]
    if isinstance(error, SyntaxError) and error.filename is not None:
        text = (error.text or "").strip()
        described.append({"file": str(error.filename), "line": error.lineno or 0, "function": "<module>", "text": text})
    structure = {"name": type(error).__name__, "message": read_message(error), "traceback": described[-MAX_FRAMES:]}
    return structure, len(frames) > MAX_FRAMES


def describe_frame(frame: types.FrameType, line: int) -> dict[str, Any]:
    code = frame.f_code
    text = linecache.getline(code.co_filename, line, frame.f_globals).strip()
    return {"file": code.co_filename, "line": line, "function": code.co_name, "text": text}


def read_message(error: BaseException) -> str:
    try:
        return str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:
        return "<the exception's text could not be read>"
