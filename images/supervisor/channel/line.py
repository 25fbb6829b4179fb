"""What carries one connection to the host: a dialed socket here, a stream of the multiplexer in mux.py."""

from __future__ import annotations

import os

from cpython import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket
from loop import close_quietly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from loop import Loop

    class Line(Protocol):
        """A byte stream that never blocks. `read` and `write` raise BlockingIOError when they would, OSError when it
        broke."""

        def read(self, count: int) -> bytes:
            """At most `count` bytes; none at the end."""

        def write(self, buffers: Sequence[bytes | memoryview]) -> int:
            """The number of bytes taken, from the first on. What was taken may not change any more."""

        def watch(self, handler: Callable[[int], None], *, read: bool, write: bool) -> None: ...
        def forget(self) -> None: ...
        def close(self) -> None: ...


class SocketLine:
    __slots__ = ("_loop", "_fd")

    def __init__(self, loop: Loop, fd: int) -> None:
        self._loop = loop
        self._fd = fd

    def read(self, count: int) -> bytes:
        return os.read(self._fd, count)

    def write(self, buffers: Sequence[bytes | memoryview]) -> int:
        return os.writev(self._fd, buffers)

    def watch(self, handler: Callable[[int], None], *, read: bool, write: bool) -> None:
        self._loop.watch(self._fd, handler, read=read, write=write)

    def forget(self) -> None:
        self._loop.forget(self._fd)

    def close(self) -> None:
        self._loop.forget(self._fd)
        close_quietly(self._fd)


class SocketHost:
    """The host behind a listening socket."""

    __slots__ = ("_loop", "_path")

    def __init__(self, loop: Loop, path: str) -> None:
        self._loop = loop
        self._path = path

    def dial(self) -> Line:
        """Raises OSError when nobody listens."""
        dialed = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            dialed.connect(self._path)
            fd = dialed.detach()
        finally:
            dialed.close()
        os.set_blocking(fd, False)
        return SocketLine(self._loop, fd)
