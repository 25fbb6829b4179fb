"""Bytes between a TCP socket inside and data frames, with half-close and back-pressure both ways."""

from __future__ import annotations

from channel.calls import HIGH_WATER_BYTES, LOW_WATER_BYTES
from cpython import SHUT_WR, deque
from loop import BROKEN, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from cpython import socket
    from loop import Loop

    class FarSide(Protocol):
        """The framed side of a tunnel."""

        def send_data(self, payload: bytes) -> None: ...
        def send_end(self) -> None: ...
        @property
        def full(self) -> bool: ...
        def pause_reading(self) -> None: ...
        def resume_reading(self) -> None: ...


READ_BYTES = 64 * 1024
READS_PER_TURN = 4


class Tunnel:
    """`over` is called once, when both directions ended or the socket broke."""

    __slots__ = (
        "_loop", "_socket", "_far", "_over", "_out", "_out_bytes", "_near_ended", "_far_ended", "_shut", "_far_paused",
        "_closed", "tx_bytes", "rx_bytes",
    )  # fmt: skip

    def __init__(self, loop: Loop, near: socket, far: FarSide, over: Callable[[], None]) -> None:
        near.setblocking(False)
        self._loop = loop
        self._socket = near
        self._far = far
        self._over = over
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._near_ended = False
        self._far_ended = False
        self._shut = False
        self._far_paused = False
        self._closed = False
        self.tx_bytes = 0
        """Bytes that came in frames and went into the socket."""
        self.rx_bytes = 0
        self._rearm()

    @property
    def near_ended(self) -> bool:
        """Nothing comes from the socket any more, and all that came is framed."""
        return self._near_ended or self._closed

    # From the framed side

    def take(self, frame: bytes | None) -> None:
        """A data frame, or None for its end."""
        if self._closed or self._far_ended:
            return
        if frame is None:
            self._far_ended = True
        else:
            self._out.append(frame)
            self._out_bytes += len(frame)
        self._write()

    def far_drained(self) -> None:
        self._rearm()

    def far_gone(self) -> None:
        """The framed side broke or closed: what came from it is still delivered, nothing more is taken."""
        self._far_ended = self._near_ended = True
        self._write()

    def close(self) -> None:
        """Ends both directions at once, without calling `over`."""
        if not self._closed:
            self._closed = True
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._out.clear()

    # From the socket

    def _handle(self, events: int) -> None:
        if events & WRITE:
            self._write()
        if events & (READ | BROKEN) and not self._closed:
            self._read()

    def _read(self) -> None:
        try:
            for _ in range(READS_PER_TURN):
                if self._near_ended or self._far.full:
                    break
                chunk = self._socket.recv(READ_BYTES)
                if not chunk:
                    self._near_ended = True
                    self._far.send_end()
                    break
                self.rx_bytes += len(chunk)
                self._far.send_data(chunk)
                if len(chunk) < READ_BYTES:
                    break
        except BlockingIOError:
            pass
        except OSError:
            self._finish()
            return
        self._settle()

    def _write(self) -> None:
        try:
            while self._out:
                chunk = self._out[0]
                written = self._socket.send(chunk)
                self.tx_bytes += written
                self._out_bytes -= written
                if written < len(chunk):
                    self._out[0] = chunk[written:]
                    break
                self._out.popleft()
            if self._far_ended and not self._out and not self._shut:
                self._shut = True
                self._socket.shutdown(SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self._finish()
            return
        self._settle()

    def _settle(self) -> None:
        if self._near_ended and self._shut:
            self._finish()
            return
        if self._out_bytes >= HIGH_WATER_BYTES and not self._far_paused:
            self._far_paused = True
            self._far.pause_reading()
        elif self._far_paused and self._out_bytes < LOW_WATER_BYTES:
            self._far_paused = False
            self._far.resume_reading()
        self._rearm()

    def _rearm(self) -> None:
        if self._closed:
            return
        reading = not self._near_ended and not self._far.full
        writing = bool(self._out)
        if reading or writing:
            self._loop.watch(self._socket.fileno(), self._handle, read=reading, write=writing)
        else:
            self._loop.forget(self._socket.fileno())

    def _finish(self) -> None:
        if not self._closed:
            self.close()
            self._over()
