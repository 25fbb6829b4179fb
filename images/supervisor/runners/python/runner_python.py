"""Runs guest code in a forked child of the warm interpreter: once, or again and again in a context."""

from __future__ import annotations

import builtins
import linecache
import os
import signal
import sys
import time
import types
from typing import NoReturn

from . import hooks
from .compiling import CO_COROUTINE, compile_parts, decode
from .ending import finish
from .failure import describe_error, print_error, trim_traceback
from .payload import Payload, Request
from .result import format_value, make_result
from .rich import Display
from .stdio import flush_stdio, rebuild_stdio


def run(payload_fd: int) -> NoReturn:
    payload = Payload(payload_fd)
    request = payload.read_request()
    if request is None:
        os._exit(0)
    session = Session(payload, request)
    if not request.is_context:
        exit_code, is_interrupted = session.run(request)
        finish(session.namespace, exit_code, is_interrupted=is_interrupted)
    while request is not None:
        session.run_interruptible(request)
        request = payload.read_request()
    finish(session.namespace, 0, is_interrupted=False)


class Session:
    """The `__main__` of one process and what its runs share."""

    def __init__(self, payload: Payload, first: Request) -> None:
        self.payload = payload
        self.display = Display(payload)
        self.is_context = first.is_context
        self.main_source: bytes | None = None if first.is_context else first.code
        self.env: dict[str, str] = dict(os.environ)
        self.cwd: str | None = None
        self.sources: dict[str, bytes] = {}
        self.runner: object = None
        self.interrupt_handler = signal.getsignal(signal.SIGINT)
        self.main = types.ModuleType("__main__")
        self.namespace = self.main.__dict__
        self.namespace.update(__builtins__=builtins, __file__=first.file)
        self.adopt(first)
        rebuild_stdio()
        sys.modules["__main__"] = self.main
        builtins.display = self.display  # type: ignore[attr-defined]
        hooks.refresh_multiprocessing()
        hooks.after_import(
            {
                "matplotlib.pyplot": hooks.make_pyplot_action(self.display.send_figures),
                "multiprocessing.spawn": hooks.make_spawn_action(lambda: self.main_source),
            }
        )

    def adopt(self, request: Request) -> None:
        """Environment and folder of the request. In a context only what differs from the previous request is set, so
        that what guest code changed itself stays."""
        for name in self.env.keys() - request.env.keys():
            os.environ.pop(name, None)
        for name, value in request.env.items():
            if self.env.get(name) != value:
                os.environ[name] = value
        os.environ.setdefault("MPLBACKEND", "Agg")
        if self.env.get("TZ") != request.env.get("TZ"):
            time.tzset()
        if request.cwd != self.cwd:
            os.chdir(request.cwd)
            if self.cwd is None:
                paths = [path for path in request.env.get("PYTHONPATH", "").split(os.pathsep) if path]
                sys.path[:0] = [request.cwd, *paths]
            elif sys.path[:1] == [self.cwd]:
                sys.path[0] = request.cwd
        self.env, self.cwd = request.env, request.cwd
        add_installed_packages(request.cwd)
        sys.argv = [request.file]

    def run(self, request: Request) -> tuple[int, bool]:
        """Runs the code, sends rich outputs and the result; returns the exit code and whether SIGINT ended it."""
        file = self.register_source(request)
        text, is_truncated, structure, error = None, False, None, None
        try:
            value = self.execute(request.code, file)
            if value is not None:
                text, is_truncated = format_value(value)
                self.display.send_forms(value)
                if self.is_context:
                    self.namespace["_"] = value
            self.display.send_figures()
        except BaseException as raised:
            error = raised
        if self.is_context:
            self.ignore_interrupts()
        exit_code = 0
        if isinstance(error, SystemExit):
            exit_code = read_exit_code(error)
        elif error is not None:
            exit_code = 1
            print_error(trim_traceback(error, file))
            structure, is_truncated = describe_error(error)
        flush_stdio()
        self.payload.send_result(make_result(text, structure, exit_code, is_truncated or self.payload.is_truncated))
        return exit_code, isinstance(error, KeyboardInterrupt)

    def run_interruptible(self, request: Request) -> None:
        """A SIGINT during the run raises KeyboardInterrupt there; between two runs it is ignored."""
        try:
            self.adopt(request)
            signal.signal(signal.SIGINT, self.interrupt_handler)
            self.payload.send_begun()
            self.run(request)
        except KeyboardInterrupt as late:
            # It arrived in the few instructions between the code's end and `ignore_interrupts`: nothing is sent yet.
            self.ignore_interrupts()
            structure, _is_cut = describe_error(late.with_traceback(None))
            self.payload.send_result(make_result(None, structure, 1, self.payload.is_truncated))

    def ignore_interrupts(self) -> None:
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        if handler is not signal.SIG_IGN:
            self.interrupt_handler = handler

    def register_source(self, request: Request) -> str:
        """Lets tracebacks show source lines. A later run under the same name gets a number: functions of the earlier
        one still show their own lines."""
        file, count = request.file, 1
        while self.sources.get(file, request.code) != request.code:
            count += 1
            file = f"{request.file}#{count}"
        self.sources[file] = request.code
        # Without a newline at the end, Python 3.11 puts its error markers one column too far right.
        text = request.code.decode("utf-8", "replace").rstrip("\n") + "\n"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        return file

    def execute(self, code: bytes, file: str) -> object:
        """The value of the last expression, or None."""
        parts = compile_parts(decode(code, file), file)
        if any(part.co_flags & CO_COROUTINE for part in parts):
            return self.execute_async(parts)
        value = None
        for part in parts:
            value = eval(part, self.namespace)
        return value

    def execute_async(self, parts: list[types.CodeType]) -> object:
        import asyncio

        async def drive() -> object:
            value = None
            for part in parts:
                value = eval(part, self.namespace)
                if part.co_flags & CO_COROUTINE:
                    value = await value
            return value

        if not self.is_context:
            return asyncio.run(drive())
        self.runner = self.runner or asyncio.Runner()
        return self.runner.run(drive())  # type: ignore[attr-defined]


def add_installed_packages(folder: str) -> None:
    """Packages in the folder's own `.venv`, which may have come after a context's process was started."""
    packages = os.path.join(
        folder, ".venv", "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages"
    )
    if packages not in sys.path and os.path.isdir(packages):
        sys.path.insert(1, packages)


def read_exit_code(error: SystemExit) -> int:
    """As the interpreter does: none is 0, a number is itself, anything else is printed and is 1."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1
