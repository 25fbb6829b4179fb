"""Kills what a call left behind, and nothing else."""

from __future__ import annotations

import os
from _signal import SIGKILL, pidfd_send_signal
from time import monotonic

from ledger import SUPERVISOR, Stat, read_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger import Ledger
    from loop import Loop

GIVE_UP_SECONDS = 0.5
FIRST_RESCAN_SECONDS = 0.001
LAST_RESCAN_SECONDS = 0.03


def signal_exactly(pid: int, start: int, number: int) -> bool:
    """Signals the process that began at `start` ticks, never one that got its number since."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        now = read_stat(pid)
        if now is None or now.start != start:
            return False
        pidfd_send_signal(fd, number)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


class Sweep:
    """One run of killing and looking again, until nothing of `owner` lives or GIVE_UP_SECONDS passed.

    `spared` tells whose processes must live; what belongs to nobody and started since `since_ticks` goes too.
    """

    __slots__ = ("_loop", "_ledger", "_owner", "_since", "_spared", "_done", "_begun", "_rounds", "_victims")

    def __init__(
        self,
        loop: Loop,
        ledger: Ledger,
        owner: str,
        since_ticks: int,
        spared: Callable[[], set[str]],
        done: Callable[[int, int], None],
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._owner = owner
        self._since = since_ticks
        self._spared = spared
        self._done = done
        self._begun = monotonic()
        self._rounds = 0
        self._victims: set[tuple[int, int]] = set()
        self._round()

    def _round(self) -> None:
        try:
            self._look_and_kill()
        except OSError as error:  # no descriptor to read /proc with: a call must end all the same
            self._loop.report(error)
            self._done(len(self._victims), 0)

    def _look_and_kill(self) -> None:
        if self._ledger.only_mains():
            self._done(len(self._victims), 0)
            return
        spared = self._spared()
        found = self._ledger.scan()
        targets = [stat for stat, owner in found if self._is_leftover(stat, owner, spared)]
        passed = monotonic() - self._begun
        if not targets or passed > GIVE_UP_SECONDS:
            self._done(len(self._victims), len(targets))
            return
        self._kill(targets, spared, [stat for stat, _ in found])
        self._rounds += 1
        self._loop.after(min(LAST_RESCAN_SECONDS, FIRST_RESCAN_SECONDS * 2**self._rounds), self._round)

    def _is_leftover(self, stat: Stat, owner: str | None, spared: set[str]) -> bool:
        if owner == self._owner:
            return True
        if owner is not None and (owner == SUPERVISOR or owner in spared):
            return False
        return stat.start >= self._since

    def _kill(self, targets: list[Stat], spared: set[str], everyone: list[Stat]) -> None:
        forking = self._rounds > 0 and any((stat.pid, stat.start) not in self._victims for stat in targets)
        self._victims.update((stat.pid, stat.start) for stat in targets)
        if forking and not spared:
            kill_everything()
            return
        for stat in targets:
            signal_exactly(stat.pid, stat.start, SIGKILL)
        if forking:
            kill_groups(targets, everyone)


def kill_groups(targets: list[Stat], everyone: list[Stat]) -> None:
    """One call that reaches a whole group outruns a group that forks; never one with a process to be spared in it."""
    ours = {stat.pid for stat in targets}
    mixed = {stat.group for stat in everyone if stat.pid not in ours}
    for group in {stat.group for stat in targets} - mixed:
        if group > 1 and group != os.getpgrp():
            try:
                os.killpg(group, SIGKILL)
            except OSError:
                pass


def kill_everything() -> None:
    """All processes of the namespace at once, for those that fork faster than they can be listed.

    The warm interpreter and the spare go too; they are started again when they are needed.
    """
    try:
        os.kill(-1, SIGKILL)
    except OSError:
        pass
