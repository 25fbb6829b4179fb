"""`connect`: a TCP port inside, as data frames of the call."""

from __future__ import annotations

import errno
import os

from cpython import AF_INET, AF_INET6, SO_ERROR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, socket
from network.tunnel import Tunnel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from channel.calls import Call
    from loop import Loop

_ADDRESSES = ((AF_INET, "127.0.0.1"), (AF_INET6, "::1"))


def connect_port(loop: Loop, call: Call, port: int) -> None:
    _PortCall(loop, call, port).dial()


class _PortCall:
    __slots__ = ("_loop", "_call", "_port", "_socket", "_tunnel", "_tried", "_first_error")

    def __init__(self, loop: Loop, call: Call, port: int) -> None:
        self._loop = loop
        self._call = call
        self._port = port
        self._socket: socket | None = None
        self._tunnel: Tunnel | None = None
        self._tried = 0
        self._first_error = 0
        call.on_lost = self._abandon
        call.on_frame = self._frames_arrived

    def dial(self) -> None:
        """Tries the loopback addresses in turn, as a browser would do for localhost."""
        while self._tried < len(_ADDRESSES):
            family, address = _ADDRESSES[self._tried]
            self._tried += 1
            try:
                self._socket = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
                error = self._socket.connect_ex((address, self._port))
            except OSError as failure:
                error = failure.errno or errno.EIO
            if error == errno.EINPROGRESS and self._socket is not None:
                self._loop.watch(self._socket.fileno(), self._connecting, write=True)
                return
            if error == 0:
                self._connected()
                return
            self._give_up(error)
        self._call.fail("unavailable", f"port {self._port}: {os.strerror(self._first_error)}")

    def _give_up(self, error: int) -> None:
        self._first_error = self._first_error or error
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _connecting(self, _events: int) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(SOL_SOCKET, SO_ERROR)
        if error == 0:
            self._connected()
        else:
            self._give_up(error)
            self.dial()

    def _connected(self) -> None:
        assert self._socket is not None
        self._call.send_event({"op": "connected"})
        self._loop.forget(self._socket.fileno())
        self._tunnel = Tunnel(self._loop, self._socket, self._call, self._over)
        self._call.on_drain = self._tunnel.far_drained
        self._frames_arrived()

    def _frames_arrived(self) -> None:
        while self._call.frames and (self._tunnel is not None or self._call.cancelled):
            frame = self._call.take_frame()
            if isinstance(frame, dict):
                if frame.get("op") == "cancel":
                    self._abandon()
                    self._over()
                    return
            elif self._tunnel is not None:
                self._tunnel.take(frame)

    def _abandon(self) -> None:
        if self._tunnel is not None:
            self._tunnel.close()
        elif self._socket is not None:
            self._give_up(errno.ECANCELED)

    def _over(self) -> None:
        tx, rx = (self._tunnel.tx_bytes, self._tunnel.rx_bytes) if self._tunnel is not None else (0, 0)
        self._call.done({"tx_bytes": tx, "rx_bytes": rx})
