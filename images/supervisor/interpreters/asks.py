"""A child that somebody waits for, from the moment it is wanted until a warm interpreter has forked it."""

from __future__ import annotations

import os

from cpython import SIGKILL
from interpreters.node_process import Pipes
from processes.ledger import DISMISSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from processes.ledger import Ledger
    from processes.status import Usage

    class Interpreter(Protocol):
        """Forks children (warm_python.py)."""

        def start(self, ask: Ask) -> None: ...
        def withdraw(self, ask: Ask) -> None: ...
        def expect_end(self, pid: int) -> None: ...

    class Waiter(Protocol):
        """Waits for the end of a child."""

        def runner_ended(self, wait_status: int, usage: Usage) -> None: ...
        def runner_lost(self) -> None: ...

    class Runner(Waiter, Protocol):
        """Waits for the child itself, too."""

        def runner_started(self, pid: int, pipes: Pipes) -> None: ...


class Ask:
    """An interpreter that is lost before it has told the child's pid leaves the ask to the next one."""

    __slots__ = ("runner", "pipes", "cwd", "rlimits", "is_context", "tries", "warm")

    def __init__(self, runner: Runner, pipes: Pipes, cwd: str, rlimits: Mapping[str, int], is_context: bool) -> None:
        self.runner = runner
        self.pipes = pipes
        self.cwd = cwd
        self.rlimits = rlimits
        self.is_context = is_context
        self.tries = 0
        self.warm: Interpreter | None = None

    def start_with(self, warm: Interpreter) -> None:
        """What an earlier interpreter may have forked finds its streams at their end."""
        if self.tries > 0:
            self.pipes.close()
            self.pipes = Pipes()
        self.tries += 1
        self.warm = warm
        warm.start(self)

    def withdraw(self) -> None:
        """Nobody waits any more: a child that comes all the same is ended."""
        self.pipes.close()
        if self.warm is not None:
            self.warm.withdraw(self)

    def fail(self) -> None:
        self.pipes.close()
        self.runner.runner_lost()

    def expect_end(self, pid: int) -> None:
        """The child was killed, so its interpreter has to report its end."""
        if self.warm is not None:
            self.warm.expect_end(pid)


class Dismissed:
    """Takes the place of a runner that waits no more."""

    __slots__ = ("_ledger", "_pid")

    def __init__(self, ledger: Ledger, pid: int) -> None:
        self._ledger = ledger
        self._pid = pid
        ledger.claim(pid, DISMISSED)
        try:
            os.kill(pid, SIGKILL)
        except OSError:
            pass

    def runner_ended(self, _wait_status: int, _usage: Usage) -> None:
        self._ledger.drop(self._pid)

    def runner_lost(self) -> None:
        self._ledger.drop(self._pid)
