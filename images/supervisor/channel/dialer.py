"""Keeps idle connections to the host ready, dials tunnels, and dials again for ever when the host is gone."""

from __future__ import annotations

from channel.connection import CHALLENGED, IDLE, PROVEN, Connection
from cpython import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from channel.calls import Call, Fields
    from channel.line import Line
    from loop import Loop

MAX_CALLS = 32
MAX_TUNNELS = 31
"""Together below the host's 64: neither calls nor tunnels can take what the other needs."""
MAX_HANDSHAKES = 3
"""The host has 4 slots for them and counts a dial too many as an attack."""
MAX_WAITING_TUNNELS = 256
FIRST_RETRY_SECONDS = 0.005
LAST_RETRY_SECONDS = 0.25
"""A new owner of the sandbox is found within this time."""
FIRST_REFUSED_RETRY_SECONDS = 0.25
LAST_REFUSED_RETRY_SECONDS = 2.0


class Dialer:
    __slots__ = (
        "_loop", "_dial_line", "_connections", "_waiting", "_retry_seconds", "_refused_seconds", "_retry_pending",
        "_serve", "_check_due", "key", "workspace", "spare_tunnels",
    )  # fmt: skip

    def __init__(self, loop: Loop, dial_line: Callable[[], Line], key: bytes) -> None:
        self._loop = loop
        self._dial_line = dial_line
        """Raises OSError when the host is not there."""
        self.key = key
        self.workspace = ""
        self._serve: Callable[[Call, Fields], None] | None = None
        self._connections: dict[Connection, Callable[[Connection | None], None] | None] = {}
        self._waiting: deque[tuple[str, Callable[[Connection | None], None]]] = deque()
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._refused_seconds = FIRST_REFUSED_RETRY_SECONDS
        self._retry_pending = False
        self._check_due = False
        self.spare_tunnels: set[Connection] = set()
        """Of guests that are gone: closed when others wait for a tunnel."""

    def start(self, serve: Callable[[Call, Fields], None]) -> None:
        self._serve = serve
        self._check()

    def dial_tunnel(self, call_id: str, ready: Callable[[Connection | None], None]) -> None:
        """Calls `ready` once, with a connection in the role of a relay or with None when there is none to be had."""
        if len(self._waiting) >= MAX_WAITING_TUNNELS:
            ready(None)
            return
        self._waiting.append((call_id, ready))
        self._check_soon()

    def find_call(self, call_id: str) -> Call | None:
        """The call that a connection carries under this id."""
        for connection in self._connections:
            if (call := connection.call) is not None and call.id == call_id:
                return call
        return None

    def _check_soon(self) -> None:
        if not self._check_due:
            self._check_due = True
            self._loop.soon(self._check)

    def _check(self) -> None:
        """Dials what is missing: first a connection for the next call, then waiting tunnels."""
        self._check_due = False
        if self._retry_pending:
            return
        handshakes = tunnels = calls = ready = 0
        for connection in self._connections:
            handshakes += connection.state in (CHALLENGED, PROVEN)
            tunnels += connection.role == "relay"
            calls += connection.role == "call"
            ready += connection.role == "call" and connection.state <= IDLE
        if tunnels >= MAX_TUNNELS and self._waiting and self.spare_tunnels:
            self.spare_tunnels.pop().close()  # which looks again
        if ready == 0 and calls < MAX_CALLS:
            if not self._dial("call", "", None):
                return
            handshakes += 1
        while self._waiting and handshakes < MAX_HANDSHAKES and tunnels < MAX_TUNNELS:
            call_id, callback = self._waiting[0]
            if not self._dial("relay", call_id, callback):
                return
            self._waiting.popleft()
            handshakes += 1
            tunnels += 1

    def _dial(self, role: str, call_id: str, callback: Callable[[Connection | None], None] | None) -> bool:
        try:
            line = self._dial_line()
        except OSError:
            self._retry_after(self._retry_seconds)
            self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY_SECONDS)
            return False
        self._connections[Connection(self._loop, self, line, role, call_id)] = callback
        return True

    def _retry_after(self, seconds: float) -> None:
        if not self._retry_pending:
            self._retry_pending = True
            self._loop.after(seconds, self._retry)

    def _retry(self) -> None:
        self._retry_pending = False
        self._check()

    # Called by connections.

    def connection_ready(self, connection: Connection) -> None:
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._refused_seconds = FIRST_REFUSED_RETRY_SECONDS
        if connection.role == "relay":
            callback, self._connections[connection] = self._connections[connection], None
            if callback is not None:
                callback(connection)
        if self._waiting:
            self._check_soon()

    def connection_busy(self, _connection: Connection) -> None:
        self._check_soon()

    def connection_closed(self, connection: Connection, refused: bool) -> None:
        callback = self._connections.pop(connection, None)
        self.spare_tunnels.discard(connection)
        if refused:
            self._retry_after(self._refused_seconds)
            self._refused_seconds = min(2 * self._refused_seconds, LAST_REFUSED_RETRY_SECONDS)
        if callback is not None:
            callback(None)
        self._check_soon()

    def serve(self, call: Call, request: Fields) -> None:
        assert self._serve is not None
        self._serve(call, request)
