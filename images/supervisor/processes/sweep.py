"""Ends what a call left behind, and spares what is not the call's as long as that can be done.

Processes that fork faster than they are listed outrun a list, above all when they leave the supervisor little of the
processor. A signal to -1 cannot be outrun: the kernel sends it to the whole pid namespace under the lock that every
fork needs, and a fork that is under way gives up or hands the signal to its child (kernel/signal.c,
kill_something_info; kernel/fork.c, copy_process). So:

1. a few processes are listed and killed one by one;
2. more than a few, or new ones in a later look: everything is killed at once where nothing has to be spared. Otherwise
   everything is stopped at once, the call's own are listed and killed while nothing can fork, and the others go on;
3. what forks on in spite of that (a timer of its own can wake a stopped process) takes the spared ones along: all are
   killed.

Step 3 is complete, so a sweep is bounded: from then on nothing of the sandbox but the supervisor runs another
instruction, and the rest is waiting for the kernel to take the dead away. gVisor lists before it signals; there step 3
is repeated until nothing new lives.
"""

from __future__ import annotations

import os
from time import monotonic

from cpython import SIGCONT, SIGKILL, SIGSTOP, pidfd_send_signal
from processes.ledger import SUPERVISOR, Stat, read_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from loop import Loop
    from processes.ledger import Ledger

FEW = 16
"""So many are listed and killed within one time slice of a busy machine."""
CROWD = 256
"""So many are looked at before anything is signalled, to tell the dead from the living."""
MAX_LOOKS = 8
GIVE_UP_SECONDS = 5.0
"""For what is killed and does not go: the kernel holds it."""
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

    `spared` tells whose processes should live; what belongs to nobody and started since `since_ticks` goes too. `done`
    gets how many were killed and how many of them are still there.
    """

    __slots__ = (
        "_loop",
        "_ledger",
        "_owner",
        "_since",
        "_spared",
        "_done",
        "_begun",
        "_rounds",
        "_outrun",
        "_stopped",
        "_victims",
        "_crowd",
    )

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
        self._outrun = False
        """Something came to life between two looks."""
        self._stopped = False
        self._victims: set[tuple[int, int]] = set()
        self._crowd = 0
        """How many lived when everything was killed at once, before anybody had listed them."""
        self._round()

    def _round(self) -> None:
        try:
            living, is_over = self._look_and_kill()
        except OSError as error:  # no descriptor to read /proc with: a call must end all the same
            self._loop.report(error)
            living, is_over = 0, True
        if is_over or monotonic() - self._begun > GIVE_UP_SECONDS:
            self._done(max(len(self._victims), self._crowd), living)
            return
        self._rounds += 1
        self._loop.after(min(LAST_RESCAN_SECONDS, FIRST_RESCAN_SECONDS * 2**self._rounds), self._round)

    def _look_and_kill(self) -> tuple[int, bool]:
        """How many live, and whether that is the end."""
        strangers = self._ledger.count_strangers()
        if strangers == 0:
            return 0, True
        spared = self._spared()
        if self._rounds == 0 and FEW < strangers <= CROWD:
            self._ledger.scan()
        alive = self._ledger.count_living()
        if self._rounds == 0 and alive > FEW:
            self._outrun = True
        if not self._outrun:
            living, has_new = self._kill_listed(spared)
            self._outrun = has_new and self._rounds > 0
        elif spared and not self._stopped:
            self._stopped = True
            living = self._kill_stopped(spared)
        else:
            self._crowd = max(self._crowd, alive)
            signal_everything(SIGKILL)
            living, self._outrun = self._kill_listed(set())[0], False
        return living, living == 0 and not self._outrun and self._ledger.unreaped == 0

    def _kill_stopped(self, spared: set[str]) -> int:
        """Looks until nothing new is found: the child of a fork that was under way is listed no later than after its
        parent was killed."""
        signal_everything(SIGSTOP)
        try:
            for _ in range(MAX_LOOKS):
                living, self._outrun = self._kill_listed(spared)
                if not self._outrun:
                    break
            return living
        finally:
            signal_everything(SIGCONT)

    def _kill_listed(self, spared: set[str]) -> tuple[int, bool]:
        """How many live, and whether something does that no look before has seen."""
        targets = [stat for stat, owner in self._ledger.scan() if self._is_leftover(stat, owner, spared)]
        new = [stat for stat in targets if (stat.pid, stat.start) not in self._victims]
        for stat in new:
            self._victims.add((stat.pid, stat.start))
            signal_exactly(stat.pid, stat.start, SIGKILL)
        return len(targets), bool(new) or self._ledger.has_newcomers()

    def _is_leftover(self, stat: Stat, owner: str | None, spared: set[str]) -> bool:
        if owner == self._owner:
            return True
        if owner is not None and (owner == SUPERVISOR or owner in spared):
            return False
        return stat.start >= self._since


def signal_everything(number: int) -> None:
    """All processes of the namespace but its first, which we are; our warm interpreters too: killed ones are started
    again at need."""
    if os.getpid() != 1:
        return
    try:
        os.kill(-1, number)
    except OSError:
        pass
