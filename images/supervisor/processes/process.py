"""A process of a call, from its start over its end to the last byte of its output. It does not need a connection to
live."""

from __future__ import annotations

import os
from time import monotonic

from channel.calls import STDERR, STDOUT
from cpython import SIGKILL, SIGTERM
from processes.ledger import boot_ticks_now
from processes.output import OutputStream, empty_report
from processes.status import Usage, split_status
from signals import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from channel.calls import Call, Fields
    from loop import Loop, Timer
    from network.relay import Relay
    from processes.spawn import Child
    from processes.stdin import InputWriter
    from settings import Settings

    class Table(Protocol):
        """Lists the process, and ends what it left behind (table.py)."""

        def begin(self, process: Process) -> None: ...
        def finished(self, process: Process) -> None: ...
        def drop(self, pid: int) -> None: ...
        def sweep(self, owner: str, since_ticks: int, done: Callable[[int, int], None]) -> None: ...
        def guest_ended(self) -> None: ...


KILL_AFTER_SECONDS = 0.25

RUNNING, SWEEPING, DRAINING, FINISHED = range(4)


class Process:
    __slots__ = (
        "_loop", "_table", "call_id", "owner", "main_owner", "argv", "background", "pid", "phase", "relay", "stdin",
        "terminal_fd", "stdout", "stderr", "viewer", "shared", "started_at", "reason", "_started_ticks", "_exit_code",
        "_failed_code", "_signal", "_usage", "_duration_us", "_killed", "_sweeping", "_is_drained", "_survivors",
        "_deadline", "_killer", "reported",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        table: Table,
        settings: Settings,
        call_id: str,
        argv: Sequence[str],
        *,
        live_bytes: int | None,
        background: bool,
    ) -> None:
        self._loop = loop
        self._table = table
        self.call_id = call_id
        self.owner = call_id
        """Whose leftovers are swept at its end."""
        self.main_owner = call_id
        """Whose the main process is: a context's outlives the run."""
        self.argv = argv
        self.background = background
        self.pid = 0
        self.phase = RUNNING
        self.relay: Relay | None = None
        self.stdin: InputWriter | None = None
        self.terminal_fd = -1
        self.stdout = OutputStream(loop, "stdout", STDOUT, live_bytes)
        self.stderr = OutputStream(loop, "stderr", STDERR, live_bytes)
        self.viewer: Call | None = None
        self.shared = False
        self.reason = "exit"
        self.started_at = monotonic()
        self.reported = False
        """A call was told how it ended."""
        self._started_ticks = boot_ticks_now()
        self._exit_code: int | None = None
        self._failed_code: int | None = None
        self._signal: str | None = None
        self._usage = Usage()
        self._duration_us = 0
        self._killed = 0
        self._sweeping = False
        self._is_drained = False
        self._survivors = 0
        self._deadline: Timer | None = None
        self._killer: Timer | None = None
        for stream, name in ((self.stdout, "stdout"), (self.stderr, "stderr")):
            stream.spill_to(settings.workspace, f"{call_id}.{name}", settings.spill_bytes, at_once=background)

    # The call that watches

    def attach(self, call: Call) -> None:
        """Announces the process to `call`, which gets its events from now on."""
        self.follow(call)
        self.announce()

    def follow(self, call: Call) -> None:
        """`call` is served by this process from now on, which may not have a pid yet."""
        self.viewer = call
        call.on_lost = self.detach
        call.on_drain = self.call_drained
        call.on_frame = self._frames_arrived

    def announce(self) -> None:
        call = self.viewer
        if call is None:
            return
        call.send_event({"op": "started", "pid": self.pid, "relay_port": self.relay.port if self.relay else 0})
        self.stdout.attach(call)
        self.stderr.attach(call)
        if self.phase == FINISHED:
            self._report()
        elif self.phase == DRAINING:
            self._drain()
        else:
            self._frames_arrived()

    def detach(self) -> None:
        self.viewer = None
        self.stdout.detach()
        self.stderr.detach()
        if self.phase == DRAINING:
            self._drain()

    def call_drained(self) -> None:
        if self.phase == DRAINING:
            self._drain()
        else:
            self.stdout.call_drained()
            self.stderr.call_drained()

    def _frames_arrived(self) -> None:
        call = self.viewer
        while call is not None and call.frames and not call.finished:
            frame = call.frames[0]
            if isinstance(frame, bytes) and self.stdin is not None and not self.stdin.has_room:
                return
            call.take_frame()
            if isinstance(frame, dict):
                self._obey(frame)
            elif self.stdin is not None:
                if frame is None:
                    self.stdin.end()
                else:
                    self.stdin.write(frame)

    def _obey(self, control: dict[str, Any]) -> None:
        if control["op"] == "cancel":
            self.stop("cancel")
        elif control["op"] == "signal":
            self.send_signal(SIGNALS[control["signal"]])
        elif self.terminal_fd >= 0:
            resize_terminal(self.terminal_fd, control["rows"], control["cols"])

    # Life

    def began(self, child: Child) -> None:
        self.pid = child.pid
        self._failed_code = child.exit_code

    def take_input(self, writer: InputWriter) -> None:
        self.stdin = writer
        writer.on_room = self._frames_arrived

    def end_after(self, deadline_ms: int | None) -> None:
        if deadline_ms is not None:
            self._deadline = self._loop.after(deadline_ms / 1000, lambda: self.stop("deadline"))

    def send_signal(self, number: int) -> None:
        """To the group; while the main process is not reaped its number can mean nothing else."""
        if self.phase != RUNNING or self.pid == 0:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it has not made its own group yet
            try:
                os.kill(self.pid, number)
            except OSError:
                pass
        except OSError:
            pass

    def stop(self, reason: str) -> None:
        if self.phase != RUNNING or self._killer is not None:
            return
        self.reason = reason
        self.ask_to_end()
        self._killer = self.kill_later()

    def kill_later(self) -> Timer:
        return self._loop.after(KILL_AFTER_SECONDS, self.kill)

    def ask_to_end(self) -> None:
        self.send_signal(SIGTERM)

    def kill(self) -> None:
        """The group, and everything else that came from the call: its end need not wait for the main process's."""
        self.send_signal(SIGKILL)
        self._sweep()

    def main_ended(self, wait_status: int, usage: Usage) -> None:
        """The main process is reaped."""
        self._table.drop(self.pid)
        self._exit_code, self._signal = split_status(wait_status)
        if self._failed_code is not None:
            self._exit_code = self._failed_code
        self.ended(usage)

    def ended(self, usage: Usage) -> None:
        if self.phase != RUNNING:
            return
        self.phase = SWEEPING
        self._table.guest_ended()
        self._usage = usage
        self._duration_us = int((monotonic() - self.started_at) * 1e6)
        for timer in (self._deadline, self._killer):
            if timer is not None:
                timer.cancel()
        if self.stdin is not None:
            self.stdin.close()
        if self.background:
            self._swept(0, 0)
        elif not self._sweeping:
            self._sweep()

    def _sweep(self) -> None:
        self._sweeping = True
        self._table.guest_ended()
        self._table.sweep(self.owner, self._started_ticks, self._swept)

    def set_exit(self, exit_code: int | None) -> None:
        self._exit_code = exit_code

    def _swept(self, killed: int, survivors: int) -> None:
        self._sweeping = False
        self._killed += killed
        self._survivors = survivors
        if self.phase == SWEEPING:
            self.phase = DRAINING
            self._drain()

    def _drain(self) -> None:
        # both must be asked, so that one stalled stream does not keep the other open
        lingers = self.background
        if not all([self.stdout.drain(linger=lingers), self.stderr.drain(linger=lingers), self.drain_more()]):
            return
        if not self._is_drained:
            self._is_drained = True
            self.end_relay(self._finish)

    def drain_more(self) -> bool:
        """Whether whatever else the process sends is read to its end."""
        return True

    def finishing(self) -> None:
        """For what else has to be given back."""

    def _finish(self) -> None:
        self.phase = FINISHED
        self.stdout.flush_ring()
        self.stderr.flush_ring()
        if not self.background:
            self.stdout.settle()
            self.stderr.settle()
        if self.terminal_fd >= 0:
            os.close(self.terminal_fd)
            self.terminal_fd = -1
        self.finishing()
        self._table.finished(self)
        self._table.guest_ended()
        self._report()

    def end_relay(self, delivered: Callable[[], None]) -> None:
        """A background call's processes may live on and keep their way out."""
        if self.relay is None or self.background:
            delivered()
        else:
            self.relay.end(delivered)

    # Result

    def more_results(self) -> Fields:
        return {}

    def _report(self) -> None:
        call, self.viewer = self.viewer, None
        if call is not None:
            self.reported = True
            call.done(self.fields(self.stdout.report(), self.stderr.report()))
        self.stdout.detach()
        self.stderr.detach()

    def fields(self, stdout: Fields, stderr: Fields) -> Fields:
        return {
            "reason": self.reason,
            "exit_code": self._exit_code,
            "signal": self._signal,
            "user_us": self._usage.user_us,
            "system_us": self._usage.system_us,
            "max_rss_bytes": self._usage.max_rss_bytes,
            "duration_us": self._duration_us,
            "stdout": stdout,
            "stderr": stderr,
            "killed": self._killed,
            "survivors": self._survivors,
            "shared": self.shared,
            **self.more_results(),
        }

    def announce_background(self, call: Call) -> None:
        """`started` and at once `done`: the process goes on by itself."""
        call.send_event({"op": "started", "pid": self.pid, "relay_port": self.relay.port if self.relay else 0})
        call.done(self.fields(empty_report(), empty_report()))


def resize_terminal(fd: int, rows: int, cols: int) -> None:
    from fcntl import ioctl
    from termios import TIOCSWINSZ

    try:
        ioctl(fd, TIOCSWINSZ, b"".join(value.to_bytes(2, "little") for value in (rows, cols, 0, 0)))
    except OSError:
        pass
