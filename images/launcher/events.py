"""A poll loop with timers and child exits."""

import heapq
import os
import select
import signal
import time
from collections.abc import Callable

Callback = Callable[[], None]


class Events:
    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Callback]] = []
        self._serial = 0
        self._children: dict[int, Callable[[int], None]] = {}
        self._pidfds: dict[int, int] = {}

    def watch(self, fd: int, callback: Callback) -> None:
        self._readers[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def is_watched(self, fd: int) -> bool:
        return fd in self._readers

    def later(self, seconds: float, callback: Callback) -> None:
        self._serial += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._serial, callback))

    def watch_child(self, pid: int, callback: Callable[[int], None]) -> int:
        """Calls back with the wait status when the child has ended; returns a pidfd that stays open until then."""
        pidfd = os.pidfd_open(pid)
        self._children[pid] = callback
        self._pidfds[pid] = pidfd
        self.watch(pidfd, self.collect_children)
        return pidfd

    def collect_children(self) -> None:
        """Reaps every child that has ended, adopted orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            callback = self._children.pop(pid, None)
            if callback is not None:
                pidfd = self._pidfds.pop(pid)
                self.unwatch(pidfd)
                os.close(pidfd)
                callback(status)

    def kill_orphans(self) -> bool:
        """Kills adopted processes: what a sandbox without groups left when bubblewrap died early. True while there are
        any."""
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                orphans = [int(pid) for pid in file.read().split() if int(pid) not in self._children]
        except FileNotFoundError:
            return False
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        return bool(orphans)

    def turn(self) -> None:
        """Waits for one round of events and runs what is due."""
        for fd, _ in self._poll.poll(self._wait_ms()):
            callback = self._readers.get(fd)
            if callback is not None:
                callback()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _wait_ms(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, (self._timers[0][0] - time.monotonic()) * 1000)
