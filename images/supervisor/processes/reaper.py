"""Takes what ended: our children, and every orphan of the sandbox."""

from __future__ import annotations

import os

from processes.status import Usage, usage_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from loop import Loop

    ExitHandler: TypeAlias = "Callable[[int, Usage], None]"

REAPS_PER_TURN = 256


class Reaper:
    __slots__ = ("_loop", "_exits", "on_stopped")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._exits: dict[int, ExitHandler] = {}
        self.on_stopped: Callable[[int], None] | None = None
        """Gets the pid of a child that was stopped."""

    def watch(self, pid: int, handler: ExitHandler) -> None:
        """`handler` is called once, when the child is reaped."""
        self._exits[pid] = handler

    def watches(self, pid: int) -> bool:
        return pid in self._exits

    def ignore(self, pid: int) -> None:
        self._exits.pop(pid, None)

    def reap(self) -> None:
        for _ in range(REAPS_PER_TURN):
            try:
                pid, wait_status, rusage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(wait_status):
                if self.on_stopped is not None:
                    self.on_stopped(pid)
                continue
            handler = self._exits.pop(pid, None)
            if handler is not None:
                handler(wait_status, usage_of(rusage))
        self._loop.soon(self.reap)
