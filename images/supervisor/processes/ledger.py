"""Which process came from which call. Everything orphaned comes to pid 1, so ancestry alone does not tell."""

from __future__ import annotations

import os
from time import CLOCK_BOOTTIME, clock_gettime

from environment import CALL_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Owner: TypeAlias = str

SUPERVISOR = "supervisor"
"""Owns what no call does: the warm interpreter, the spare, and what lives in their sessions.

Being their child is no proof: a process of a call becomes one by CLONE_PARENT. Nobody can enter a session.
"""
DISMISSED = "supervisor/dismissed"
"""Owns what was ours and is being ended; no call can have this id."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_SELF = os.getpid()
_ENVIRONMENT_BYTES = 256 * 1024
MAX_OWNER_BYTES = 64


def boot_ticks_now() -> int:
    """The present in the unit and on the clock of a process's start time in /proc."""
    return int(clock_gettime(CLOCK_BOOTTIME) * TICKS_PER_SECOND)


def age_ms(start_ticks: int) -> int:
    return max(0, boot_ticks_now() - start_ticks) * 1000 // TICKS_PER_SECOND


class Stat:
    """What /proc/<pid>/stat says."""

    __slots__ = ("pid", "state", "parent", "group", "session", "user_ticks", "system_ticks", "start")

    def __init__(self, pid: int, text: bytes) -> None:
        fields = text[text.rindex(b")") + 2 :].split()
        self.pid = pid
        self.state = fields[0]
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.user_ticks = int(fields[11])
        self.system_ticks = int(fields[12])
        self.start = int(fields[19])

    @property
    def dead(self) -> bool:
        return self.state in (b"Z", b"X")

    @property
    def ticks(self) -> int:
        """Of processor time."""
        return self.user_ticks + self.system_ticks

    def user_us(self) -> int:
        return self.user_ticks * 1_000_000 // TICKS_PER_SECOND

    def system_us(self) -> int:
        return self.system_ticks * 1_000_000 // TICKS_PER_SECOND


def read_proc(pid: int, name: str, limit: int = 4096) -> bytes:
    """Empty when the process is gone or closed to us."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, limit)
    except OSError:
        return b""
    finally:
        os.close(fd)


def read_stat(pid: int) -> Stat | None:
    text = read_proc(pid, "stat")
    return Stat(pid, text) if text else None


def list_pids() -> list[int]:
    """Every process of the pid namespace but the supervisor."""
    return [pid for name in os.listdir("/proc") if "0" <= name[0] <= "9" and (pid := int(name)) != _SELF]


class Ledger:
    __slots__ = ("_mains", "_known", "_sessions", "_forkers", "_listed", "_dead", "unreaped")

    def __init__(self) -> None:
        self._listed: set[int] = set()
        self._dead: set[int] = set()
        """What the last scan saw dead."""
        self.unreaped = 0
        """Dead orphans that the last scan saw: they are ours to reap, and count as processes until then."""
        self._mains: dict[int, Owner] = {}
        self._known: dict[int, tuple[int, Owner]] = {}
        self._sessions: dict[int, Owner] = {}
        self._forkers: dict[int, Callable[[], bool]] = {}

    def claim(self, pid: int, owner: Owner) -> None:
        """`pid` is the main process of `owner` until it is dropped."""
        self._mains[pid] = owner
        self._known.pop(pid, None)
        if owner != SUPERVISOR:
            self._sessions[pid] = owner

    def claim_forker(self, pid: int, awaits_fork: Callable[[], bool]) -> None:
        """One of ours, whose children leave its session; while it is asked for one, a child of its is ours too."""
        self.claim(pid, SUPERVISOR)
        self._forkers[pid] = awaits_fork

    def drop(self, pid: int) -> None:
        """The main process `pid` was reaped. Its session may live on."""
        self._mains.pop(pid, None)
        self._forkers.pop(pid, None)

    def count_strangers(self) -> int:
        """Processes that nobody tracks, dead ones included, at the cost of one directory listing."""
        strangers = len(set(list_pids()) - self._mains.keys())
        if strangers == 0:
            self._known.clear()
        return strangers

    def count_living(self) -> int:
        """Processes that nobody tracks, without those that the last scan saw dead."""
        return len(set(list_pids()) - self._mains.keys() - self._dead)

    def only_mains(self) -> bool:
        """The common case."""
        return self.count_strangers() == 0

    def scan(self) -> list[tuple[Stat, Owner | None]]:
        """Every living process that is no main one, with its owner if it has one. Remembers what it found out."""
        stats: dict[int, Stat] = {}
        self.unreaped = 0
        self._dead = set()
        pids = list_pids()
        self._listed = set(pids)
        for pid in pids:
            stat = read_stat(pid)
            if stat is None:
                continue
            if pid in self._mains or not stat.dead:
                stats[pid] = stat
                continue
            self._dead.add(pid)
            if stat.parent == _SELF:
                self.unreaped += 1
        found = [(stat, self._find_owner(stat, stats)) for stat in stats.values() if stat.pid not in self._mains]
        self._known = {
            stat.pid: (stat.start, owner) for stat, owner in found if owner is not None and owner != SUPERVISOR
        }
        self._learn_sessions(found)
        return found

    def has_newcomers(self) -> bool:
        """Whether the last scan may have missed what lives: a process that ends between being listed and being read may
        have left a child."""
        return not self._listed.issuperset(list_pids())

    def _learn_sessions(self, found: list[tuple[Stat, Owner | None]]) -> None:
        # a session's number is not used again while one process is in it, so entries live as long as those
        seen = {stat.session: owner for stat, owner in found if owner is not None and stat.session == stat.pid}
        alive = {stat.session for stat, _ in found}
        kept = {sid: owner for sid, owner in self._sessions.items() if sid in alive or sid in self._mains}
        self._sessions = {**{sid: owner for sid, owner in seen.items() if owner != SUPERVISOR}, **kept}

    def _find_owner(self, stat: Stat, stats: dict[int, Stat]) -> Owner | None:
        ancestor: Stat | None = stat
        for _ in range(len(stats) + 1):
            if ancestor is None:
                break
            owner = self._owner_at(ancestor)
            if owner is not None and (owner != SUPERVISOR or self._is_ours(stat, ancestor)):
                return owner
            ancestor = stats.get(ancestor.parent)
        return self._owner_by_environment(stat)

    def _is_ours(self, stat: Stat, main: Stat) -> bool:
        if stat.session == main.pid:
            return True
        awaits_fork = self._forkers.get(main.pid)
        return awaits_fork is not None and stat.parent == main.pid and awaits_fork()

    def _owner_at(self, stat: Stat) -> Owner | None:
        if stat.pid in self._mains:
            return self._mains[stat.pid]
        known = self._known.get(stat.pid)
        if known is not None and known[0] == stat.start:
            return known[1]
        return self._sessions.get(stat.session)

    def _owner_by_environment(self, stat: Stat) -> Owner | None:
        """A daemon that left its session between two scans still carries what its call was started with.

        It may carry any name: another call's makes it live and end with that call, ours makes it nobody's.
        """
        prefix = f"{CALL_VARIABLE}=".encode()
        for entry in read_proc(stat.pid, "environ", _ENVIRONMENT_BYTES).split(b"\0"):
            if entry.startswith(prefix) and len(entry) <= len(prefix) + MAX_OWNER_BYTES:
                owner = entry[len(prefix) :].decode("utf-8", "replace")
                return None if owner == SUPERVISOR else owner
        return None
