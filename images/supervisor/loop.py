"""The event loop: epoll, timers, deferred calls, and the signal that says a child ended. One thread."""

from __future__ import annotations

import os
import select
from heapq import heapify, heappop, heappush
from time import monotonic

from cpython import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
BROKEN = select.EPOLLHUP | select.EPOLLERR
PATIENCE_STEPS = 5


class Timer:
    __slots__ = ("due", "callback")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due


class Patience:
    """A limit on the host's time. What we did not run, for want of a processor or in a pause, does not count."""

    __slots__ = ("_loop", "_step", "_left", "_callback", "_timer")

    def __init__(self, loop: Loop, seconds: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._step = seconds / PATIENCE_STEPS
        self._left = PATIENCE_STEPS
        self._callback = callback
        self._timer = self._wait()

    def cancel(self) -> None:
        self._timer.cancel()

    def _wait(self) -> Timer:
        due = monotonic() + self._step
        return self._loop.after(self._step, lambda: self._tick(due))

    def _tick(self, due: float) -> None:
        if monotonic() - due <= self._step:
            self._left -= 1
        if self._left == 0:
            self._callback()
        else:
            self._timer = self._wait()


class Loop:
    __slots__ = ("_epoll", "_handlers", "_fresh", "_timers", "_soon", "_cancelled_budget", "trace_path", "running")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._fresh: set[int] = set()
        """Watched since the events at hand were polled: an event under such a number is its predecessor's."""
        self._timers: list[Timer] = []
        self._soon: deque[Callable[[], None]] = deque()
        self._cancelled_budget = 64
        self.trace_path: str | None = None
        """Where unexpected exceptions are written; nowhere unless somebody debugs the supervisor."""
        self.running = True

    def watch(self, fd: int, handler: Callable[[int], None], *, read: bool = False, write: bool = False) -> None:
        """Watches `fd` for exactly these events from now on; its hang-up is always reported."""
        events = (READ if read else 0) | (WRITE if write else 0)
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
            self._fresh.add(fd)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Call it before `fd` is closed; does nothing for an unknown one."""
        if self._handlers.pop(fd, None) is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass

    def soon(self, callback: Callable[[], None]) -> None:
        """Calls `callback` in this turn, after what is being handled now; from such a callback: in the next turn."""
        self._soon.append(callback)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(monotonic() + seconds, callback)
        if len(self._timers) > self._cancelled_budget:
            self._drop_cancelled()
        heappush(self._timers, timer)
        return timer

    def _drop_cancelled(self) -> None:
        self._timers = [timer for timer in self._timers if timer.callback is not None]
        heapify(self._timers)
        self._cancelled_budget = max(64, 2 * len(self._timers))

    def run(self) -> None:
        while self.running:
            self.turn()

    def stop(self) -> None:
        self.running = False

    def turn(self) -> None:
        self._fresh.clear()
        for fd, events in self._poll():
            handler = self._handlers.get(fd)
            if handler is not None and fd not in self._fresh:
                self._guard(handler, events)
        for _ in range(len(self._soon)):
            self._guard(self._soon.popleft())
        # last: after a standstill (a paused sandbox) what arrived meanwhile comes before what is late
        self._run_timers()

    def _poll(self) -> list[tuple[int, int]]:
        if self._soon:
            return self._epoll.poll(0)
        while self._timers and self._timers[0].callback is None:
            heappop(self._timers)
        if not self._timers:
            return self._epoll.poll(-1)
        # epoll rounds up to whole milliseconds, so a timer is never early
        events = self._epoll.poll(max(0.0, self._timers[0].due - monotonic()))
        # a wait that a stop interrupted ends without a look
        return events or self._epoll.poll(0)

    def _run_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0].due <= now:
            callback = heappop(self._timers).callback
            if callback is not None:
                self._guard(callback)

    def _guard(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception as error:  # pid 1 must outlive its own mistakes: its end is the sandbox's end
            self.report(error)

    def report(self, error: Exception) -> None:
        if self.trace_path is None:
            return
        import traceback

        with open(self.trace_path, "a", encoding="utf-8") as file:
            traceback.print_exception(error, file=file)


def close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass
