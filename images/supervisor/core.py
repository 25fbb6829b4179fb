"""The parts of the supervisor that requests work with, made once by main."""

from __future__ import annotations

import os

from channel.calls import OpError
from channel.dialer import Dialer
from loop import Loop
from processes.ledger import Ledger
from processes.status import Usage, usage_of
from processes.table import ProcessTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from channel.calls import Call, Fields
    from channel.line import Line
    from interpreters.code_manager import CodeManager
    from settings import Settings

    ExitHandler: TypeAlias = "Callable[[int, Usage], None]"

REAPS_PER_TURN = 256


class Core:
    __slots__ = ("loop", "ledger", "table", "dialer", "_settings", "_code", "_exits")

    def __init__(
        self, loop: Loop, dial_line: Callable[[], Line], key: bytes, serve: Callable[[Core, Call, Fields], None]
    ) -> None:
        self.loop = loop
        self.ledger = Ledger()
        self.table = ProcessTable(loop, self.ledger, self._guest_started)
        self.dialer = Dialer(loop, dial_line, key, lambda call, request: serve(self, call, request))
        self._settings: Settings | None = None
        self._code: CodeManager | None = None
        self._exits: dict[int, ExitHandler] = {}

    def require_settings(self) -> Settings:
        if self._settings is None:
            raise OpError("unavailable", "the sandbox had no init yet")
        return self._settings

    @property
    def settings(self) -> Settings:
        return self.require_settings()

    @property
    def code(self) -> CodeManager:
        if self._code is None:
            from interpreters.code_manager import CodeManager

            self._code = CodeManager(self)
        return self._code

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        self.dialer.workspace = settings.workspace
        if self._code is not None:
            self._code.reconfigure()
        if any(language is not None and language["warm"] for language in (settings.python, settings.javascript)):
            # after the answer: the host does not wait for the interpreters
            self.loop.after(0.001, lambda: self.code.warm_up())

    def _guest_started(self) -> None:
        if self._code is not None:
            self._code.guest_started()

    def _child_stopped(self, pid: int) -> None:
        if self._code is not None:
            self._code.child_stopped(pid)

    def guest_ended(self) -> None:
        """Before what a process left is swept, and again once it counts no more."""
        if self._code is not None:
            self._code.renew_exposed()

    def watch_exit(self, pid: int, handler: ExitHandler) -> None:
        """`handler` is called once, when the child is reaped."""
        self._exits[pid] = handler

    def watches_exit(self, pid: int) -> bool:
        return pid in self._exits

    def ignore_exit(self, pid: int) -> None:
        self._exits.pop(pid, None)

    def reap(self) -> None:
        """Takes what ended: our children, and every orphan of the sandbox."""
        for _ in range(REAPS_PER_TURN):
            try:
                pid, wait_status, rusage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(wait_status):
                self._child_stopped(pid)
                continue
            handler = self._exits.pop(pid, None)
            if handler is not None:
                handler(wait_status, usage_of(rusage))
        self.loop.soon(self.reap)
