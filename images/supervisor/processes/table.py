"""All processes of calls: running, and finished ones that can still be attached to."""

from __future__ import annotations

from time import monotonic

from channel.calls import OpError
from processes.ledger import DISMISSED, age_ms, read_proc
from processes.sweep import Sweep, signal_exactly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from channel.calls import Fields
    from loop import Loop, Timer
    from processes.ledger import Ledger
    from processes.process import Process

    class GuestObserver(Protocol):
        """Is told when guest code begins to run, and when some of it ended."""

        def guest_started(self) -> None: ...
        def guest_ended(self) -> None: ...


MAX_FINISHED = 64
KEEP_FINISHED_SECONDS = 300.0
MAX_KEPT_OUTPUT_BYTES = 8 << 20
RESCAN_SECONDS = 0.2
MAX_LISTED = 512
LISTING_BYTES = 40 * 1024
ESCAPED = (None, DISMISSED)


class ProcessTable:
    __slots__ = (
        "_loop", "_ledger", "_running", "_finished", "_background_owners", "_rescan", "_context_owners", "observer",
    )  # fmt: skip

    def __init__(self, loop: Loop, ledger: Ledger) -> None:
        self._loop = loop
        self._ledger = ledger
        self._running: dict[int, Process] = {}
        self._finished: dict[int, tuple[Process, float]] = {}
        self._background_owners: set[str] = set()
        self._rescan: Timer | None = None
        self._context_owners: set[str] = set()
        self.observer: GuestObserver | None = None

    # Life

    def begin(self, process: Process) -> None:
        """Call it when the process has its pid."""
        if self.observer is not None:
            self.observer.guest_started()
        self._finished.pop(process.pid, None)
        self._ledger.claim(process.pid, process.main_owner)
        others = self._living_others(process)
        self._running[process.pid] = process
        if process.background:
            self._background_owners.add(process.owner)
        process.shared = bool(others)
        for other in self._running.values():
            other.shared = other.shared or other is not process
        self._plan_rescan()

    def finished(self, process: Process) -> None:
        self._running.pop(process.pid, None)
        if process.pid == 0:
            return
        self._finished[process.pid] = (process, monotonic())
        self._drop_old()

    def begin_context(self, pid: int, owner: str) -> None:
        """`pid` runs code for one call after the other until `end_context`."""
        self._ledger.claim(pid, owner)
        self._context_owners.add(owner)

    def end_context(self, owner: str) -> None:
        """Nothing of it lives any more."""
        self._context_owners.discard(owner)
        self.guest_ended()

    def drop(self, pid: int) -> None:
        """The main process `pid` was reaped."""
        self._ledger.drop(pid)

    def sweep(self, owner: str, since_ticks: int, done: Callable[[int, int], None]) -> None:
        """Ends what the processes of `owner` left behind (sweep.py)."""
        Sweep(self._loop, self._ledger, owner, since_ticks, lambda: self.owners_beside(owner), done)

    def guest_ended(self) -> None:
        """Call it before what a process left is swept, and again once it counts no more."""
        if self.observer is not None:
            self.observer.guest_ended()

    def _drop_old(self) -> None:
        oldest_allowed = monotonic() - KEEP_FINISHED_SECONDS
        kept_bytes = 0
        for pid, (process, ended_at) in reversed(list(self._finished.items())):
            kept_bytes += process.stdout.held_bytes + process.stderr.held_bytes
            if ended_at < oldest_allowed or (len(self._finished) > MAX_FINISHED and pid == next(iter(self._finished))):
                del self._finished[pid]
            elif kept_bytes > MAX_KEPT_OUTPUT_BYTES:
                process.stdout.forget_ring()
                process.stderr.forget_ring()

    def _plan_rescan(self) -> None:
        """Overlapping calls are told apart by looking often, before a daemon's parents are gone."""
        if self._rescan is None and len(self._running) > 1:
            self._rescan = self._loop.after(RESCAN_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._rescan = None
        self._ledger.scan()
        self._plan_rescan()

    # Questions

    def has_guests(self) -> bool:
        """Whether anything that a call started lives."""
        if self._running or self._context_owners:
            return True
        return bool(self._background_owners) and bool(self.leftovers())

    def find(self, pid: int) -> Process:
        self._drop_old()
        process = self._running.get(pid)
        if process is None and pid in self._finished:
            process = self._finished[pid][0]
        if process is None:
            raise OpError("not_found", f"no process {pid}")
        return process

    def send_signal(self, pid: int, number: int) -> None:
        """To the group of a listed process."""
        if pid not in self._running and pid in (leftovers := self.leftovers()):
            signal_exactly(pid, leftovers[pid][0], number)
        else:
            self.find(pid).send_signal(number)

    def owners_beside(self, owner: str) -> set[str]:
        """Whose processes must outlive a call of `owner`."""
        owners = {process.owner for process in self._running.values()} | self._background_owners | self._context_owners
        owners.discard(owner)
        return owners

    def _living_others(self, process: Process) -> bool:
        """Whether any process of another call lives now."""
        others = self.owners_beside(process.owner) - {process.main_owner}
        if not others:
            return self._lives_unowned(process)
        if others - self._background_owners or any(other.background for other in self._running.values()):
            self._ledger.scan()
            return True
        return any(owner in others or owner in ESCAPED for _, owner in self._ledger.scan())

    def _lives_unowned(self, process: Process) -> bool:
        """Whether something escaped the end of its call."""
        return not self._ledger.only_mains() and any(owner in ESCAPED for _, owner in self._ledger.scan())

    def leftovers(self) -> dict[int, tuple[int, str]]:
        """pid -> (start ticks, call id) of processes whose background call's main process ended."""
        mains = {process.owner for process in self._running.values()}
        return {
            stat.pid: (stat.start, owner)
            for stat, owner in self._ledger.scan()
            if owner in self._background_owners and owner not in mains
        }

    def list(self) -> list[Fields]:
        """Running ones, and finished ones whose end nobody was told yet; within the size of one control message."""
        self._drop_old()
        children: dict[str, int] = {}
        for _, owner in self._ledger.scan():
            if owner is not None:
                children[owner] = children.get(owner, 0) + 1
        now = monotonic()
        entries = [
            self._describe(process, True, now, children.get(process.owner, 0)) for process in self._running.values()
        ]
        entries += [
            self._describe(process, False, now, 0) for process, _ in self._finished.values() if not process.reported
        ]
        for pid, (start, owner) in self.leftovers().items():
            argv = read_proc(pid, "cmdline").decode("utf-8", "replace").split("\0")[:-1]
            entries.append(_entry(pid, owner, argv, True, True, age_ms(start), 0))
        return _fit(entries)

    @staticmethod
    def _describe(process: Process, running: bool, now: float, children: int) -> Fields:
        age_ms = int((now - process.started_at) * 1000)
        return _entry(process.pid, process.call_id, process.argv, process.background, running, age_ms, children)


def _entry(
    pid: int, call_id: str, argv: object, background: bool, running: bool, started_ms_ago: int, children: int
) -> Fields:
    return {
        "pid": pid,
        "call": call_id,
        "argv": argv,
        "background": background,
        "running": running,
        "started_ms_ago": started_ms_ago,
        "children": children,
    }


def _fit(entries: list[Fields]) -> list[Fields]:
    """Shortens argument lists (and at last the list) so that the answer stays one control message."""
    entries = entries[:MAX_LISTED]
    budget = max(32, LISTING_BYTES // max(1, len(entries)) - 120)
    for entry in entries:
        argv = entry["argv"]
        assert isinstance(argv, (list, tuple))
        shortened: list[str] = []
        left = budget // 6  # a character may become six bytes of JSON
        for argument in argv[:64]:
            if left <= 0:
                break
            shortened.append(argument[:left])
            left -= len(argument) + 1
        entry["argv"] = shortened
    return entries
