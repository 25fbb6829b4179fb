"""A named context: one process that keeps its globals between runs."""

from __future__ import annotations

import os

from channel.calls import OpError
from cpython import SIGKILL
from interpreters.payload import Payload
from processes.ledger import boot_ticks_now
from processes.status import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from channel.calls import Fields
    from interpreters.asks import Ask
    from interpreters.node_process import Pipes
    from loop import Loop
    from network.relay import Relay
    from processes.table import ProcessTable

    class Run(Protocol):
        """What runs in a context (context_run.py)."""

        call_id: str
        relay: Relay | None

        def begin_in(self, pipes: Pipes) -> None: ...
        def interrupt(self, delivered: Callable[[], None]) -> None: ...
        def main_ended(self, wait_status: int, usage: Usage) -> None: ...
        def runner_lost(self) -> None: ...


class Context:
    __slots__ = (
        "_loop", "_table", "name", "language", "owner", "pid", "payload", "relay", "ask", "was_interrupted", "_pipes",
        "_run", "_gone", "_on_gone", "_removed", "_started_ticks",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        table: ProcessTable,
        name: str,
        language: str,
        relay: Relay,
        removed: Callable[[Context], None],
    ) -> None:
        self._loop = loop
        self._table = table
        self.name = name
        self.language = language
        self.owner = f"context/{name}"
        self.pid = 0
        self.payload: Payload | None = None
        self.relay = relay
        self.ask: Ask | None = None
        """Where its process is asked for, when a warm interpreter forks it."""
        self.was_interrupted = False
        """Its last run was sent a signal."""
        self._pipes: Pipes | None = None
        self._run: Run | None = None
        self._gone = False
        self._on_gone: list[Callable[[], None]] = []
        self._removed = removed
        self._started_ticks = boot_ticks_now()

    @property
    def gone(self) -> bool:
        return self._gone

    @property
    def busy(self) -> bool:
        return self._run is not None

    # Its process

    def runner_started(self, pid: int, pipes: Pipes) -> None:
        self._pipes = pipes
        self.pid = pid
        self.payload = Payload(self._loop, pipes.ours[2])
        self._table.begin_context(pid, self.owner)
        if self._run is not None:
            self._run.begin_in(pipes)

    def runner_ended(self, wait_status: int, usage: Usage) -> None:
        run = self._run
        self._clean_up(lambda: run.main_ended(wait_status, usage) if run is not None else None)

    def runner_lost(self) -> None:
        run = self._run
        self._clean_up(lambda: run.runner_lost() if run is not None else None)

    def _clean_up(self, tell_run: Callable[[], None]) -> None:
        """The process is gone: what it left running goes too, then whoever waits is told."""
        if self._gone:
            return
        self._gone = True
        self._table.drop(self.pid)
        self._removed(self)
        tell_run()
        self._table.sweep(self.owner, self._started_ticks, self._swept)

    def _swept(self, _killed: int, _survivors: int) -> None:
        self._table.end_context(self.owner)
        if self._run is None:
            self._close()
        callbacks, self._on_gone = self._on_gone, []
        for callback in callbacks:
            callback()

    def _close(self) -> None:
        self.relay.close()
        if self.payload is not None:
            self.payload.close()
            if self._pipes is not None:
                del self._pipes.ours[2:]  # the payload closed it
        if self._pipes is not None:
            self._pipes.close_ours()
            self._pipes = None

    # Runs

    def begin(self, run: Run) -> None:
        if self.busy:
            raise OpError("busy", f"context {self.name!r} runs something else")
        self._run = run
        run.relay = self.relay
        self.relay.call_id = run.call_id
        if self.pid > 0 and self._pipes is not None:
            run.begin_in(self._pipes)

    def run_finished(self, run: Run) -> None:
        if self._run is run:
            self._run = None
            if self._gone:
                self._close()

    def interrupt(self, delivered: Callable[[], None]) -> None:
        if self._run is None:
            delivered()
        else:
            self._run.interrupt(delivered)

    def end(self, done: Callable[[], None]) -> None:
        self._on_gone.append(done)
        if self._gone:
            return
        if self.pid > 0:
            _kill_group(self.pid)
        if self.ask is None:
            return
        if self.pid > 0:
            self.ask.expect_end(self.pid)
        else:
            self.ask.withdraw()
            self.runner_ended(SIGKILL, Usage())

    def describe(self) -> Fields:
        return {"name": self.name, "language": self.language, "pid": self.pid, "busy": self.busy}


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, SIGKILL)
    except OSError:  # it has not made its own group yet
        try:
            os.kill(pid, SIGKILL)
        except OSError:
            pass
