"""Standard streams of a run."""

from __future__ import annotations

import io
import sys


def rebuild_stdio() -> None:
    """The warm interpreter's own objects stand for /dev/null; these write lines as they come."""
    sys.stdin = sys.__stdin__ = open_stream(0, "r", "<stdin>", "replace")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = open_stream(1, "w", "<stdout>", "replace")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open_stream(2, "w", "<stderr>", "backslashreplace")  # type: ignore[misc]


def open_stream(fd: int, mode: str, name: str, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(fd, mode, closefd=False)
    raw.name = name
    buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    stream = io.TextIOWrapper(buffered, "utf-8", errors, line_buffering=mode == "w")
    stream.mode = mode  # type: ignore[misc]
    return stream


def flush_stdio() -> bool:
    """Whether everything was written: nobody may read any more, and guest code may have put anything in their place."""
    is_flushed = True
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not getattr(stream, "closed", False):
            try:
                stream.flush()
            except Exception:
                is_flushed = False
    return is_flushed
