"""A run in a context: ends with its result, and the process lives on. What ends it early interrupts it first."""

from __future__ import annotations

import os
from time import monotonic

from cpython import SIGINT
from interpreters.code_run import CodeRun
from processes.evidence import LOOK_SECONDS, Chance, rests
from processes.ledger import read_proc, read_stat
from processes.process import KILL_AFTER_SECONDS, RUNNING
from processes.status import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from channel.calls import Call
    from interpreters.context import Context
    from interpreters.node_process import Pipes
    from loop import Loop, Timer
    from processes.process import Table
    from settings import Settings

KILL_LIMIT_SECONDS = 0.75
"""The host kills the sandbox of a call that lives 1 s longer than it may."""
SETTLE_SECONDS = 0.02
SETTLE_TICKS = 2
INTERRUPT_AGAIN_SECONDS = 0.1


class ContextRun(CodeRun):
    __slots__ = ("_context", "_used_before", "_has_begun", "_interrupts", "_settles_at_ticks", "_chance", "_kill_at")

    def __init__(
        self,
        loop: Loop,
        table: Table,
        settings: Settings,
        call: Call,
        request: dict[str, Any],
        code: bytes,
        folder: str,
        context: Context,
    ) -> None:
        super().__init__(loop, table, settings, call, request, code, folder)
        self._context = context
        self._used_before = (0, 0)
        self._has_begun = False
        """A signal reaches the code."""
        self._interrupts: list[Callable[[], None]] = []
        """Who waits for the signal to be sent."""
        self._settles_at_ticks = 0
        """Of its processor time."""
        self._chance: Chance | None = None
        self._kill_at = 0.0
        self.ask = context.ask
        self.main_owner = context.owner

    def begin_in(self, pipes: Pipes) -> None:
        """The streams are the context's own, so the run reads copies of their descriptors."""
        if self.phase != RUNNING:
            return
        self.pid = self._context.pid
        out, err, _ = pipes.ours
        for fd in (out, err):
            discard_waiting(fd)
        self.stdout.read_from(os.dup(out))
        self.stderr.read_from(os.dup(err))
        stat = read_stat(self.pid)
        if stat is not None:
            self._used_before = (stat.user_us(), stat.system_us())
        assert self._context.payload is not None
        self._context.payload.on_begun = self._code_began
        self.send_code(self._context.payload)
        self._table.begin(self)
        self.announce()

    def result_came(self, exit_code: object) -> None:
        if not isinstance(exit_code, int) or not 0 <= exit_code <= 255:
            exit_code = int(self._result["error"] is not None)
        self.set_exit(int(exit_code))
        self.ended(self._measure())

    def _measure(self) -> Usage:
        stat = read_stat(self.pid)
        if stat is None:
            return Usage()
        user, system = self._used_before
        return Usage(stat.user_us() - user, stat.system_us() - system, _peak_memory_bytes(self.pid))

    # Interrupts

    def interrupt(self, delivered: Callable[[], None]) -> None:
        """Before the code runs an interrupt would be lost or end the context, so it is kept until then."""
        self._interrupts.append(delivered)
        if len(self._interrupts) == 1 or self.phase != RUNNING:
            self._deliver()

    def send_signal(self, number: int) -> None:
        if number == SIGINT:
            self.interrupt(lambda: None)
        else:
            super().send_signal(number)

    def _code_began(self) -> None:
        self._has_begun = True
        self._deliver()

    def _deliver(self) -> None:
        if self.phase == RUNNING and self._interrupts:
            if not self._has_begun:
                return
            if not self._has_settled():
                self._loop.after(SETTLE_SECONDS, self._deliver)
                return
            self.send_interrupt()
            if self._chance is not None:
                self._chance = Chance(self.pid)
        # there is nothing to interrupt once the run is over
        interrupts, self._interrupts = self._interrupts, []
        for delivered in interrupts:
            delivered()

    def _has_settled(self) -> bool:
        """Both languages lose a signal that comes while they set out to wait: Python just before the system call that
        waits, Node just after the synchronous part of the code. So it is sent when the code waits, or has computed for
        a while."""
        stat = read_stat(self.pid)
        if stat is None or rests(stat):
            return True
        if self._settles_at_ticks == 0:
            self._settles_at_ticks = stat.ticks + SETTLE_TICKS
        return stat.ticks >= self._settles_at_ticks

    def send_interrupt(self) -> None:
        super().send_signal(SIGINT)

    # Ending

    def ask_to_end(self) -> None:
        self.send_signal(SIGINT)

    def stop_waiting(self) -> None:
        """The context goes on to wait for its process."""

    def end_relay(self, delivered: Callable[[], None]) -> None:
        """The context keeps it."""
        delivered()

    def kill_later(self) -> Timer:
        self._chance = Chance(self.pid)
        self._kill_at = monotonic() + KILL_LIMIT_SECONDS
        return self._loop.after(LOOK_SECONDS, self._kill_if_deaf)

    def _kill_if_deaf(self) -> None:
        """The variables of the context go with its process, so it gets its time to react on a busy machine too."""
        assert self._chance is not None
        self._chance.look()
        if self._chance.seconds >= KILL_AFTER_SECONDS or monotonic() >= self._kill_at:
            self.kill()
        else:
            self._killer = self._loop.after(LOOK_SECONDS, self._kill_if_deaf)

    def ended(self, usage: Usage) -> None:
        super().ended(usage)
        self._deliver()

    def finishing(self) -> None:
        self._context.run_finished(self)


class NodeContextRun(ContextRun):
    """Node watches for a signal anew while it runs the synchronous part of the code. One that comes just when that part
    ends may be lost all the same, or interrupt what runs next."""

    __slots__ = ("_again",)

    def begin_in(self, pipes: Pipes) -> None:
        self._again: Timer | None = None
        self._header["after_interrupt"] = self._context.was_interrupted
        self._context.was_interrupted = False
        super().begin_in(pipes)

    def send_interrupt(self) -> None:
        if self.phase != RUNNING:
            return
        super().send_interrupt()
        self._context.was_interrupted = True
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.after(INTERRUPT_AGAIN_SECONDS, self.send_interrupt)


def discard_waiting(fd: int) -> None:
    """What a context's threads wrote between two runs belongs to none of them."""
    os.set_blocking(fd, False)
    try:
        for _ in range(64):
            if not os.read(fd, 64 * 1024):
                return
    except OSError:
        pass


def _peak_memory_bytes(pid: int) -> int:
    for line in read_proc(pid, "status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
