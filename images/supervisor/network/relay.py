"""The way out: per call a listener on loopback, whose connections go to the host's egress proxy in tunnels of their
own."""

from __future__ import annotations

import os

from channel.calls import DATA, END, HIGH_WATER_BYTES, OpError
from cpython import AF_INET, MSG_DONTWAIT, MSG_PEEK, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, accept, socket
from loop import close_quietly
from network.tunnel import Tunnel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from channel.connection import Connection
    from channel.dialer import Dialer
    from loop import Loop

BACKLOG = 128
ACCEPTS_PER_TURN = 16
ACCEPT_AGAIN_SECONDS = 0.05
MAX_OPEN = 128
DELIVERY_SECONDS = 0.25
"""So long an ended call waits for what its processes sent to be on its way to the host."""
LINGER_SECONDS = 2.0
"""So long the host may then take to end a connection whose guest is gone: a request is answered before it counts as
left."""
LOOK_SECONDS = 0.002


def open_relay(loop: Loop, dialer: Dialer, call_id: str) -> Relay:
    try:
        return Relay(loop, dialer, call_id)
    except OSError as error:
        raise OpError("unavailable", f"no port for the relay: {os.strerror(error.errno or 0)}") from None


class Relay:
    """Raises OSError when the listener cannot be made."""

    __slots__ = ("_loop", "_dialer", "_listener", "_links", "_on_delivered", "call_id", "port")

    def __init__(self, loop: Loop, dialer: Dialer, call_id: str) -> None:
        self._loop = loop
        self._dialer = dialer
        self.call_id = call_id
        """On whose behalf new connections are dialed; a warm process hands its relay to the call that uses it."""
        self._links: set[_Link] = set()
        self._on_delivered: Callable[[], None] | None = None
        self._listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            self._listener.bind(("127.0.0.1", 0))
            self._listener.listen(BACKLOG)
        except OSError:
            self._listener.close()
            raise
        self.port: int = self._listener.getsockname()[1]
        self._listen()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.watch(self._listener.fileno(), self._accept, read=True)

    def _accept(self, _events: int) -> None:
        self._accept_waiting(ACCEPTS_PER_TURN)

    def _accept_waiting(self, most: int) -> None:
        for _ in range(most):
            try:
                fd = accept(self._listener)
            except BlockingIOError:
                return
            except OSError:  # no descriptor left: asking again at once would spin
                self._loop.forget(self._listener.fileno())
                self._loop.after(ACCEPT_AGAIN_SECONDS, self._listen)
                return
            if not self.call_id or len(self._links) >= MAX_OPEN:
                close_quietly(fd)
                continue
            link = _Link(self, self._dialer, socket(fileno=fd), self._loop)
            self._links.add(link)
            self._dialer.dial_tunnel(self.call_id, link.dialed)

    def forget(self, link: _Link) -> None:
        self._links.discard(link)

    def end(self, delivered: Callable[[], None]) -> None:
        """The processes of the call are gone, and nobody connects any more. What they sent goes out all the same, as
        from a real machine; `delivered` is called once the host has it, or after DELIVERY_SECONDS."""
        if self._listener.fileno() >= 0:
            self._accept_waiting(BACKLOG)
        self._stop_listening()
        for link in list(self._links):
            link.drop_unused()
        if not self._links:
            delivered()
            return
        self._on_delivered = delivered
        self._loop.after(DELIVERY_SECONDS, self._deliver)
        self._loop.after(DELIVERY_SECONDS + LINGER_SECONDS, self.close)
        self._look()

    def _look(self) -> None:
        if self._on_delivered is None:
            return
        if all([link.is_delivered for link in self._links]):
            self._deliver()
        else:
            self._loop.after(LOOK_SECONDS, self._look)

    def _deliver(self) -> None:
        delivered, self._on_delivered = self._on_delivered, None
        if delivered is not None:
            delivered()

    def close(self) -> None:
        """Ends every connection at once."""
        self._stop_listening()
        for link in list(self._links):
            link.close()
        self._deliver()

    def _stop_listening(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.forget(self._listener.fileno())
            self._listener.close()


class _Link:
    """One accepted connection and the tunnel dialed for it: the sink of that connection, and the tunnel's far side."""

    __slots__ = ("_relay", "_dialer", "_near", "_loop", "_connection", "_tunnel", "_closed")

    def __init__(self, relay: Relay, dialer: Dialer, near: socket, loop: Loop) -> None:
        self._relay = relay
        self._dialer = dialer
        self._near = near
        self._loop = loop
        self._connection: Connection | None = None
        self._tunnel: Tunnel | None = None
        self._closed = False

    def dialed(self, connection: Connection | None) -> None:
        if connection is None or self._closed:
            if connection is not None:
                connection.close()
            self.close()
            return
        self._connection = connection
        connection.sink = self
        self._tunnel = Tunnel(self._loop, self._near, self, self._over)

    def drop_unused(self) -> None:
        """A guest that hung up and sent nothing expects nothing."""
        if self._tunnel is not None and self._tunnel.rx_bytes > 0:
            return
        try:
            if not self._near.recv(1, MSG_PEEK | MSG_DONTWAIT):
                self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    @property
    def is_delivered(self) -> bool:
        """Whether all that the guest sent has left for the host. Then the connection is the first to go when others
        wait for one."""
        if self._closed:
            return True
        if (
            self._tunnel is None
            or not self._tunnel.near_ended
            or self._connection is None
            or self._connection.buffered > 0
        ):
            return False
        self._dialer.spare_tunnels.add(self._connection)
        return True

    def _over(self) -> None:
        if self._connection is not None:
            self._connection.close_after_flush()
        self.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._relay.forget(self)
        if self._tunnel is not None:
            self._tunnel.close()
        else:
            self._near.close()
        if self._connection is not None:
            self._connection.close_after_flush()

    # What the connection calls

    def push_frame(self, frame: bytes | dict[str, object] | None) -> None:
        if self._tunnel is not None and not isinstance(frame, dict):
            self._tunnel.take(frame)

    def drained(self) -> None:
        if self._tunnel is not None:
            self._tunnel.far_drained()

    def lose(self) -> None:
        self._connection = None
        if self._tunnel is not None:
            self._tunnel.far_gone()

    # What the tunnel calls

    @property
    def full(self) -> bool:
        return self._connection is not None and self._connection.buffered >= HIGH_WATER_BYTES

    def send_data(self, payload: bytes) -> None:
        if self._connection is not None:
            self._connection.send(DATA, payload)

    def send_end(self) -> None:
        if self._connection is not None:
            self._connection.send(END, b"")

    def pause_reading(self) -> None:
        if self._connection is not None:
            self._connection.pause_reading()

    def resume_reading(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()
