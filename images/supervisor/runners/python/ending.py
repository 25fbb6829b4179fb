"""Ends the process of a run as the interpreter would, without the cost of tearing down every preloaded module."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import signal
import threading
from typing import NoReturn

from .stdio import flush_stdio

FLUSH_FAILED_EXIT_CODE = 120


def finish(namespace: dict[str, object], exit_code: int, *, is_interrupted: bool) -> NoReturn:
    """Joins threads, runs exit handlers, closes what `__main__` still holds, flushes, and exits."""
    try:
        join_threads()
        atexit._run_exitfuncs()
        flush_open_files()
        release(namespace)
    finally:
        is_flushed = flush_stdio()
        if is_interrupted:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(exit_code if is_flushed or exit_code != 0 else FLUSH_FAILED_EXIT_CODE)


def join_threads() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        threading._shutdown()  # type: ignore[attr-defined]


def release(namespace: dict[str, object]) -> None:
    """Guest code may rely on finalisers: a file or an archive is complete when its last reference goes."""
    for name in [name for name in namespace if not name.startswith("__")]:
        namespace[name] = None
    gc.collect()


def flush_open_files() -> None:
    """Files that nothing closes: in imported modules, or in cycles, which are collected in an order that loses what is
    buffered. Objects of the warm interpreter are frozen and not listed."""
    for item in gc.get_objects():
        if type(item) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
            with contextlib.suppress(Exception):
                item.flush()
