"""What runs code: the streams of its process, and a Node that waits for it. The warm Python is in warm_python.py."""

from __future__ import annotations

import os

from cpython import AF_UNIX, SIGKILL, SOCK_CLOEXEC, SOCK_STREAM, socketpair
from loop import close_quietly
from processes.ledger import DISMISSED, SUPERVISOR
from processes.spawn import Plan, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from network.relay import Relay
    from processes.ledger import Ledger
    from processes.reaper import Reaper
    from processes.status import Usage

RUNNERS = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/runners"


class Pipes:
    """The ends of a runner's streams: ours to read, theirs to hand over."""

    __slots__ = ("ours", "theirs")

    def __init__(self) -> None:
        self.ours: list[int] = []
        self.theirs: list[int] = []
        try:
            for _ in range(2):
                reader, writer = os.pipe()
                self.ours.append(reader)
                self.theirs.append(writer)
            first, second = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
            self.ours.append(first.detach())
            self.theirs.append(second.detach())
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self.close_ours()
        self.close_theirs()

    def close_ours(self) -> None:
        for fd in self.ours:
            close_quietly(fd)
        self.ours.clear()

    def close_theirs(self) -> None:
        for fd in self.theirs:
            close_quietly(fd)
        self.theirs.clear()


class NodeProcess:
    """A Node that loaded its runner and waits for code: the spare, or one started for a call that came too early."""

    __slots__ = ("_ledger", "pipes", "relay", "pid", "alive", "exposed")

    def __init__(
        self,
        ledger: Ledger,
        reaper: Reaper,
        relay: Relay,
        argv: Sequence[str],
        environment: Mapping[str, str],
        cwd: str,
        rlimits: Mapping[str, int],
        has_guests: Callable[[], bool],
    ) -> None:
        """Takes the relay over: Node reads its proxy once at its start, so the call gets the relay with the process."""
        self._ledger = ledger
        self.relay = relay
        self.pipes = Pipes()
        try:
            plan = Plan(
                [*argv, "--disable-sigusr1", f"{RUNNERS}/javascript/runner.mjs"],
                environment,
                cwd,
                [0, *self.pipes.theirs],
                rlimits=rlimits,
            )
            self.pid = spawn(plan).pid
        except BaseException:
            self.relay.close()
            self.pipes.close_ours()
            raise
        finally:
            self.pipes.close_theirs()
        self.alive = True
        self.exposed = has_guests()
        """Guest code ran beside it, and could write into its memory."""
        ledger.claim(self.pid, SUPERVISOR)
        reaper.watch(self.pid, self._exited_unused)

    def _exited_unused(self, _wait_status: int, _usage: Usage) -> None:
        self.alive = False
        self._ledger.drop(self.pid)
        self.relay.close()
        self.pipes.close_ours()

    def kill(self) -> None:
        if self.alive:
            self._ledger.claim(self.pid, DISMISSED)
            try:
                os.kill(self.pid, SIGKILL)
            except OSError:
                pass
