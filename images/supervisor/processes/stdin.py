"""The writing end of a process's standard input. A reader that is slow or gone never holds up the supervisor."""

from __future__ import annotations

import os

from cpython import deque
from loop import close_quietly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from loop import Loop

ROOM_BELOW_BYTES = 256 * 1024
END_OF_TERMINAL_INPUT = b"\x04"


class InputWriter:
    __slots__ = ("_loop", "_fd", "_queue", "_queued_bytes", "_is_terminal", "_ending", "_watched", "on_room")

    def __init__(self, loop: Loop, fd: int, *, is_terminal: bool) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_terminal = is_terminal
        self._ending = False
        self._watched = False
        self.on_room: Callable[[], None] | None = None

    @property
    def has_room(self) -> bool:
        return self._queued_bytes < ROOM_BELOW_BYTES

    def write(self, chunk: bytes) -> None:
        """What comes after the end, or after the reader closed, is dropped."""
        if self._fd < 0 or self._ending or not chunk:
            return
        self._queue.append(chunk)
        self._queued_bytes += len(chunk)
        if not self._watched:
            self._flush()

    def end(self) -> None:
        """Closes the input when the queue is written. On a terminal that is a typed Ctrl-D; it stays open."""
        if self._is_terminal:
            self.write(END_OF_TERMINAL_INPUT)
            return
        self._ending = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        if self._fd < 0:
            return
        self._loop.forget(self._fd)
        close_quietly(self._fd)
        self._fd = -1
        self._queue.clear()
        self._queued_bytes = 0

    def _handle(self, _events: int) -> None:
        self._flush()
        if self.has_room and self.on_room is not None:
            self.on_room()

    def _flush(self) -> None:
        try:
            while self._queue:
                chunk = self._queue[0]
                written = os.write(self._fd, chunk)
                self._queued_bytes -= written
                if written < len(chunk):
                    self._queue[0] = chunk[written:]
                    break
                self._queue.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if not self._queue and self._ending:
            self.close()
        elif bool(self._queue) != self._watched:
            self._watched = bool(self._queue)
            if self._watched:
                self._loop.watch(self._fd, self._handle, write=True)
            else:
                self._loop.forget(self._fd)
