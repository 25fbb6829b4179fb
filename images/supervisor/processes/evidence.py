"""What the kernel says of a process that does not react. Time says nothing: a busy machine has none for the process."""

from __future__ import annotations

import os

from processes.ledger import TICKS_PER_SECOND, Stat, read_proc, read_stat

LOOK_SECONDS = 0.05
_STOPPED = (b"T", b"t")
_HINDERED = (b"R", b"D")
"""Waits for the processor, or is held by the kernel."""


class Chance:
    """How long a process could have reacted: while it ran, and while it rested with nothing in its way."""

    __slots__ = ("_pid", "_ticks", "seconds", "stopped_looks")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ticks = 0
        self.seconds = 0.0
        self.stopped_looks = 0
        """So many of the last looks in a row found it stopped."""
        stat = read_stat(pid)
        if stat is not None:
            self._take(stat)

    def look(self) -> None:
        """Call it every LOOK_SECONDS."""
        stat = read_stat(self._pid)
        if stat is None:
            return
        ran = (stat.ticks - self._ticks) / TICKS_PER_SECOND
        self._take(stat)
        self.seconds += max(ran, LOOK_SECONDS if rests(stat) else 0.0)

    def _take(self, stat: Stat) -> None:
        self._ticks = stat.ticks
        self.stopped_looks = self.stopped_looks + 1 if stat.state in _STOPPED else 0


def rests(stat: Stat) -> bool:
    """Whether no thread would run if it could: the first one may wait for another that waits for the processor."""
    if stat.state in _HINDERED:
        return False
    try:
        threads = os.listdir(f"/proc/{stat.pid}/task")
    except OSError:
        return False
    texts = [read_proc(stat.pid, f"task/{thread}/stat") for thread in threads]
    return not any(Stat(stat.pid, text).state in _HINDERED for text in texts if text)
