"""All connections to the host over one byte stream, our former standard input and output (docs/protocol.md, "Over one
stream").

Each connection is a stream with a credit window each way. What is received is bounded by the windows, so reading never
stops; what is sent goes round the streams, one piece of each. When the stream below ends or breaks, `over` is called
and nothing works any more.
"""

from __future__ import annotations

import errno
import os

from channel.frames import CONTROL, CONTROL_LIMIT, DATA, END, FrameError, FrameReader, make_header
from cpython import deque
from json_text import JsonError, decode_object, encode
from loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from channel.line import Line
    from loop import Loop

    Buffer = bytes | memoryview

WINDOW_BYTES = 256 * 1024
PIECE_BYTES = 64 * 1024
CREDIT_PORTION_BYTES = 64 * 1024
MAX_STREAMS = 68
MAX_NUMBER = 2**32 - 1
READ_BYTES = 256 * 1024
READS_PER_TURN = 4
SMALL_BYTES = 16 * 1024
GATHER_BYTES = 256 * 1024
GATHER_BUFFERS = 64


class MuxReader(FrameReader):
    """Whole frames with their stream, which is in `stream` when a frame is yielded."""

    __slots__ = ("stream",)

    def __init__(self) -> None:
        super().__init__()
        self.stream = 0

    def check_header(self, header: bytes) -> tuple[int, int]:
        length, kind, stream = int.from_bytes(header[:4], "big"), header[4], int.from_bytes(header[5:], "big")
        self.stream = stream
        if stream == 0:
            allowed = kind == CONTROL and length <= CONTROL_LIMIT
        else:
            allowed = (kind == DATA and 0 < length <= PIECE_BYTES) or (kind == END and length == 0)
        if not allowed:
            raise FrameError(f"frame type {kind} of {length} bytes on stream {stream}")
        return kind, length


class Mux:
    __slots__ = (
        "_loop", "_in", "_out", "_over", "_reader", "_streams", "_last", "_turns", "_sending", "_sending_bytes",
        "_send_due", "_blocked",
    )  # fmt: skip

    def __init__(self, loop: Loop, read_fd: int, write_fd: int, over: Callable[[], None]) -> None:
        self._loop = loop
        self._in = read_fd
        self._out = write_fd
        self._over = over
        self._reader = MuxReader()
        self._streams: dict[int, StreamLine] = {}
        self._last = 0
        self._turns: deque[StreamLine] = deque()
        """Streams that have something to send, in turn."""
        self._sending: deque[Buffer] = deque()
        """Whole frames, but for the first of them, which may be half sent."""
        self._sending_bytes = 0
        self._send_due = False
        self._blocked = False
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        loop.watch(read_fd, self._readable, read=True)

    def dial(self) -> Line:
        """Raises OSError when there are too many streams, as long as the host has not closed some of them too."""
        if len(self._streams) >= MAX_STREAMS or self._last >= MAX_NUMBER:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._last += 1
        line = self._streams[self._last] = StreamLine(self._loop, self, self._last)
        self._enqueue(_control("open", self._last))
        return line

    # Receiving

    def _readable(self, _events: int) -> None:
        try:
            for _ in range(READS_PER_TURN):
                chunk = os.read(self._in, READ_BYTES)
                if not chunk:
                    self._over()
                    return
                for kind, payload in self._reader.feed(chunk):
                    self._take(kind, self._reader.stream, payload)
                if len(chunk) < READ_BYTES:
                    return
        except BlockingIOError:
            pass
        except (OSError, FrameError, JsonError):
            self._over()

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if number == 0:
            self._obey(decode_object(payload))
        elif kind == DATA:
            self._find(number).receive(payload)
        else:
            self._find(number).receive_end()

    def _obey(self, control: dict[str, object]) -> None:
        op, number, count = control.get("op"), control.get("stream"), control.get("bytes")
        if type(number) is int and op == "closed" and len(control) == 2:
            self._find(number).receive_closed()
        elif type(number) is int and type(count) is int and op == "credit" and len(control) == 3:
            self._find(number).add_credit(count)
        else:
            raise FrameError("a control that does not belong on stream 0")

    def _find(self, number: int) -> StreamLine:
        line = self._streams.get(number)
        if line is None:
            raise FrameError(f"stream {number} is not open")
        return line

    # Sending; called by the streams too

    def gone(self, number: int) -> None:
        """Both sides have closed."""
        self._streams.pop(number, None)

    def want_turn(self, line: StreamLine) -> None:
        if not line.has_turn:
            line.has_turn = True
            self._turns.append(line)
        self._send_soon()

    def _enqueue(self, *buffers: Buffer) -> None:
        for buffer in buffers:
            self._sending.append(buffer)
            self._sending_bytes += len(buffer)
        self._send_soon()

    def _send_soon(self) -> None:
        if not self._send_due and not self._blocked:
            self._send_due = True
            self._loop.soon(self._send)

    def _send(self) -> None:
        self._send_due = False
        try:
            self._gather()
            while self._sending:
                self._write_some()
                self._gather()
            self._set_blocked(False)
        except BlockingIOError:
            self._set_blocked(True)
        except OSError:
            self._over()

    def _set_blocked(self, blocked: bool) -> None:
        if blocked and not self._blocked:
            self._loop.watch(self._out, lambda _events: self._send(), write=True)
        elif self._blocked and not blocked:
            self._loop.forget(self._out)
        self._blocked = blocked

    def _gather(self) -> None:
        """One frame of each stream in turn, as much as one write takes."""
        while self._turns and self._sending_bytes < GATHER_BYTES and len(self._sending) < GATHER_BUFFERS:
            line = self._turns.popleft()
            line.has_turn = False
            for buffer in line.next_frame():
                self._sending.append(buffer)
                self._sending_bytes += len(buffer)
            if line.may_send() and not line.has_turn:
                line.has_turn = True
                self._turns.append(line)

    def _write_some(self) -> None:
        offered = [self._sending[index] for index in range(min(len(self._sending), GATHER_BUFFERS))]
        written = os.writev(self._out, offered)
        self._sending_bytes -= written
        for buffer in offered:
            if written < len(buffer):
                self._sending[0] = memoryview(buffer)[written:]
                return
            written -= len(buffer)
            self._sending.popleft()


class StreamLine:
    """One stream, as the line of a connection."""

    __slots__ = (
        "_loop", "_mux", "_number", "_incoming", "_window", "_owed", "_end_received", "_closed_received", "_outgoing",
        "_outgoing_bytes", "_credit", "_closing", "_closed_sent", "_handler", "_reading", "_writing", "_event_due",
        "has_turn",
    )  # fmt: skip

    def __init__(self, loop: Loop, mux: Mux, number: int) -> None:
        self._loop = loop
        self._mux = mux
        self._number = number
        self._incoming: deque[bytearray | bytes] = deque()
        self._window = WINDOW_BYTES
        """What the host may still send, without what it is owed and was not told yet."""
        self._owed = 0
        self._end_received = False
        self._closed_received = False
        self._outgoing: deque[Buffer] = deque()
        self._outgoing_bytes = 0
        self._credit = WINDOW_BYTES
        """What we may send, without what waits in `_outgoing`: nothing is taken that has no credit."""
        self._closing = False
        self._closed_sent = False
        self._handler: Callable[[int], None] | None = None
        self._reading = False
        self._writing = False
        self._event_due = False
        self.has_turn = False

    # For the connection

    def read(self, count: int) -> bytes:
        if not self._incoming:
            if self._end_received or self._closed_received:
                return b""
            raise BlockingIOError
        chunk = bytes(self._incoming[0] if len(self._incoming) == 1 else b"".join(self._incoming))
        self._incoming.clear()
        if len(chunk) > count:
            self._incoming.append(chunk[count:])
            chunk = chunk[:count]
        self._owed += len(chunk)
        if self._owed >= CREDIT_PORTION_BYTES and not self._end_received:
            self._mux.want_turn(self)
        self._remind()
        return chunk

    def write(self, buffers: Sequence[Buffer]) -> int:
        if self._closed_received:
            raise BrokenPipeError
        if self._credit == 0:
            raise BlockingIOError
        taken = 0
        for buffer in buffers:
            part = buffer if len(buffer) <= self._credit else memoryview(buffer)[: self._credit]
            if part:
                self._outgoing.append(part)
                self._credit -= len(part)
                taken += len(part)
        self._outgoing_bytes += taken
        self._mux.want_turn(self)
        return taken

    def watch(self, handler: Callable[[int], None], *, read: bool, write: bool) -> None:
        self._handler = handler
        self._reading = read
        self._writing = write
        self._remind()

    def forget(self) -> None:
        self._handler = None

    def close(self) -> None:
        """What was written is still sent."""
        self._handler = None
        self._closing = True
        self._incoming.clear()
        self._mux.want_turn(self)

    # Events, as epoll would report them: as long as there is something to read or room to write

    def _pending(self) -> int:
        events = 0
        if self._reading and (self._incoming or self._end_received or self._closed_received):
            events |= READ
        if self._writing and (self._credit > 0 or self._closed_received):
            events |= WRITE
        return events

    def _remind(self) -> None:
        if self._handler is not None and not self._event_due and self._pending():
            self._event_due = True
            self._loop.soon(self._report)

    def _report(self) -> None:
        self._event_due = False
        events = self._pending()
        if self._handler is not None and events:
            self._handler(events)
            self._remind()

    # For the mux: receiving

    def receive(self, payload: bytes) -> None:
        if self._end_received or self._closed_received:
            raise FrameError("data after the end of a stream")
        if len(payload) > self._window:
            raise FrameError("more bytes on a stream than its window")
        self._window -= len(payload)
        if self._closing:
            return
        last = self._incoming[-1] if self._incoming else None
        if last is None or len(last) + len(payload) > SMALL_BYTES:
            self._incoming.append(payload)
        elif isinstance(last, bytearray):
            last += payload
        else:
            self._incoming[-1] = bytearray(last) + payload
        self._remind()

    def receive_end(self) -> None:
        if self._end_received or self._closed_received:
            raise FrameError("a second end of a stream")
        self._end_received = True
        self._remind()

    def receive_closed(self) -> None:
        if self._closed_received:
            raise FrameError("a stream was closed twice")
        self._closed_received = True
        self._outgoing.clear()
        self._outgoing_bytes = 0
        self._leave_when_done()
        self._remind()

    def add_credit(self, count: int) -> None:
        if not count > 0 or self._credit + self._outgoing_bytes + count > WINDOW_BYTES or self._closed_received:
            raise FrameError("credit beyond the window of a stream")
        self._credit += count
        self._remind()

    # For the mux: sending

    def may_send(self) -> bool:
        if self._closed_sent:
            return False
        return bool(self._outgoing) or self._closing or self._owed >= CREDIT_PORTION_BYTES

    def next_frame(self) -> Sequence[Buffer]:
        if self._closed_sent:
            return ()
        if self._owed >= CREDIT_PORTION_BYTES and not self._closing:
            count, self._owed = self._owed, 0
            self._window += count
            return (_control("credit", self._number, count),)
        if self._outgoing:
            return self._take_piece()
        if self._closing:
            self._closed_sent = True
            self._leave_when_done()
            return (_control("closed", self._number),)
        return ()

    def _take_piece(self) -> list[Buffer]:
        piece: list[Buffer] = [b""]
        missing = PIECE_BYTES
        while missing > 0 and self._outgoing and len(piece) < GATHER_BUFFERS // 2:
            buffer = self._outgoing.popleft()
            if len(buffer) > missing:
                view = memoryview(buffer)
                self._outgoing.appendleft(view[missing:])
                buffer = view[:missing]
            piece.append(buffer)
            missing -= len(buffer)
        length = PIECE_BYTES - missing
        self._outgoing_bytes -= length
        piece[0] = make_header(DATA, length, self._number)
        return piece

    def _leave_when_done(self) -> None:
        if self._closed_sent and self._closed_received:
            self._mux.gone(self._number)


def _control(op: str, number: int, count: int | None = None) -> bytes:
    payload = encode({"op": op, "stream": number} if count is None else {"op": op, "stream": number, "bytes": count})
    return make_header(CONTROL, len(payload)) + payload
