"""One authenticated connection to the host: handshake, one call at a time, release. Sends are buffered, never
blocking."""

from __future__ import annotations

from channel.authenticate import prove
from channel.calls import HIGH_WATER_BYTES, LOW_WATER_BYTES, Call
from channel.frames import CONTROL, CONTROL_LIMIT, DATA, END, FrameError, FrameReader, make_header
from channel.requests import explain_bad_control
from cpython import deque
from json_text import JsonError, decode_object, encode
from loop import BROKEN, READ, WRITE, Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from channel.calls import Fields
    from channel.line import Line
    from loop import Loop

    class Sink(Protocol):
        """Who gets the frames of a connection that carries a call or a tunnel."""

        def push_frame(self, frame: bytes | Fields | None) -> None: ...
        def drained(self) -> None: ...
        def lose(self) -> None: ...

    class Owner(Protocol):
        key: bytes
        workspace: str

        def connection_ready(self, connection: Connection) -> None: ...
        def connection_busy(self, connection: Connection) -> None: ...
        def connection_closed(self, connection: Connection, refused: bool) -> None: ...
        def serve(self, call: Call, request: Fields) -> None: ...


READ_BYTES = 256 * 1024
READS_PER_TURN = 4
WRITE_BUFFERS = 64
JOIN_BELOW_BYTES = 16 * 1024
PARTIAL_FRAME_SECONDS = 10.0
HANDSHAKE_SECONDS = 5.0

CHALLENGED, PROVEN, IDLE, BUSY, FINISHED, TUNNEL, CLOSED = range(7)


class Connection:
    __slots__ = (
        "_loop", "_owner", "_line", "_reader", "_out", "_flush_due", "_full", "_reading_paused", "_partial_timer",
        "_end_after_flush", "_events", "_frames_taken", "sink", "call", "state", "role", "call_id", "buffered",
    )  # fmt: skip

    def __init__(self, loop: Loop, owner: Owner, line: Line, role: str, call_id: str) -> None:
        self._loop = loop
        self._owner = owner
        self._line = line
        self._reader = FrameReader()
        self._out: deque[bytes | memoryview] = deque()
        self._flush_due = False
        self._full = False
        self._reading_paused = False
        self._end_after_flush = False
        self._events = (True, False)
        self._frames_taken = 0
        self.sink: Sink | None = None
        self.call: Call | None = None
        """The call that runs on this connection; it is the sink then."""
        self.state = CHALLENGED
        self.role = role
        self.call_id = call_id
        self.buffered = 0
        self._partial_timer: Patience | None = Patience(loop, HANDSHAKE_SECONDS, self.close)
        line.watch(self._handle, read=True, write=False)

    # Sending

    def send_control(self, fields: Fields) -> None:
        payload = encode(fields)
        if len(payload) > CONTROL_LIMIT:
            payload = encode({"op": "failed", "code": "io_error", "message": "the answer exceeds 64 KiB"})
        self.send(CONTROL, payload)

    def send(self, kind: int, payload: bytes) -> None:
        if self.state == CLOSED:
            return
        header = make_header(kind, len(payload))
        if len(payload) < JOIN_BELOW_BYTES:
            self._out.append(header + payload)
        else:
            self._out.append(header)
            self._out.append(payload)
        self.buffered += len(header) + len(payload)
        self._full = self._full or self.buffered >= HIGH_WATER_BYTES
        if not self._flush_due and not self._events[1]:
            self._flush_due = True
            self._loop.soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self.state == CLOSED:
            return
        try:
            while self._out and self._write_some():
                pass
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if not self._out and self._end_after_flush:
            self.close()
            return
        self._rearm()
        if self._full and self.buffered < LOW_WATER_BYTES:
            self._full = False
            if self.sink is not None:
                self.sink.drained()

    def _write_some(self) -> bool:
        """Whether everything that was offered went out."""
        offered = [self._out[index] for index in range(min(len(self._out), WRITE_BUFFERS))]
        written = self._line.write(offered)
        self.buffered -= written
        complete = True
        for buffer in offered:
            if written < len(buffer):
                self._out[0] = memoryview(buffer)[written:]
                complete = False
                break
            written -= len(buffer)
            self._out.popleft()
        return complete

    def close_after_flush(self) -> None:
        self._end_after_flush = True
        if not self._out:
            self.close()

    # Receiving

    def pause_reading(self) -> None:
        self._reading_paused = True
        self._rearm()

    def resume_reading(self) -> None:
        self._reading_paused = False
        self._rearm()

    def _rearm(self) -> None:
        wanted = (not self._reading_paused, bool(self._out))
        if wanted != self._events and self.state != CLOSED:
            self._events = wanted
            self._line.watch(self._handle, read=wanted[0], write=wanted[1])

    def _handle(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ and not self._reading_paused:
            self._receive()
        elif events & BROKEN:
            self._break()

    def _break(self) -> None:
        if self._reading_paused and self.state != CLOSED:
            # what the host sent before it left is read first; unwatched, because a hang-up is reported without end
            self._line.forget()
            self._events = (False, False)
        else:
            self.close()

    def _receive(self) -> None:
        try:
            for _ in range(READS_PER_TURN):
                chunk = self._line.read(READ_BYTES)
                if not chunk:
                    self.close()
                    return
                for kind, payload in self._reader.feed(chunk):
                    self._frames_taken += 1
                    self._take(kind, payload)
                    if self.state == CLOSED:
                        return
                if len(chunk) < READ_BYTES or self._reading_paused:
                    break
        except BlockingIOError:
            pass
        except (OSError, FrameError, JsonError):
            self.close()
            return
        except Exception as error:
            self._loop.report(error)
            self.close()
            return
        self._bound_partial_frame()

    def _bound_partial_frame(self) -> None:
        if self.state <= PROVEN:
            return
        if not self._reader.partial or self._reading_paused:
            if self._partial_timer is not None:
                self._partial_timer.cancel()
                self._partial_timer = None
        elif self._partial_timer is None:
            self._watch_partial_frame()

    def _watch_partial_frame(self) -> None:
        """In a steady stream a frame is always under way, another one each time."""
        taken = self._frames_taken

        def late() -> None:
            self._partial_timer = None
            if self._frames_taken == taken:
                self.close()
            else:
                self._watch_partial_frame()

        self._partial_timer = Patience(self._loop, PARTIAL_FRAME_SECONDS, late)

    def _take(self, kind: int, payload: bytes) -> None:
        if self.state in (BUSY, TUNNEL):
            assert self.sink is not None
            if kind != CONTROL:
                self.sink.push_frame(payload if kind == DATA else None)
                return
            fields = decode_object(payload)
            if self.state == TUNNEL or explain_bad_control(fields) is not None:
                raise FrameError("a control that does not belong here")
            self.sink.push_frame(fields)
        elif self.state == FINISHED:
            if kind == CONTROL and decode_object(payload) == {"op": "release"}:
                self.state = IDLE
                self._owner.connection_ready(self)
        elif kind in (DATA, END):
            raise FrameError("data outside a call")
        elif self.state == IDLE:
            self._begin(decode_object(payload))
        else:
            self._answer_handshake(decode_object(payload))

    def _answer_handshake(self, fields: Fields) -> None:
        nonce = fields.get("nonce")
        if self.state == PROVEN and fields == {"op": "welcome"}:
            assert self._partial_timer is not None
            self._partial_timer.cancel()
            self._partial_timer = None
            self.state = IDLE if self.role == "call" else TUNNEL
            self._owner.connection_ready(self)
        elif (
            self.state == CHALLENGED
            and isinstance(nonce, str)
            and len(nonce) == 32
            and nonce.isascii()
            and fields == {"op": "challenge", "protocol": 1, "nonce": nonce}
        ):
            proof: Fields = {
                "op": "proof",
                "mac": prove(self._owner.key, nonce, self.role, self.call_id),
                "role": self.role,
            }
            if self.role == "relay":
                proof["call"] = self.call_id
            self.state = PROVEN
            self.send_control(proof)
        else:
            raise FrameError("an unexpected message in the handshake")

    # Calls

    def _begin(self, request: Fields) -> None:
        call_id = request.get("call")
        call = Call(self, call_id if isinstance(call_id, str) else "", self._owner.workspace)
        self.sink = self.call = call
        self.state = BUSY
        self._owner.connection_busy(self)
        self._owner.serve(call, request)

    def end_call(self) -> None:
        self.sink = self.call = None
        self.state = FINISHED
        if self._reading_paused:
            self.resume_reading()

    def close(self) -> None:
        if self.state == CLOSED:
            return
        refused = self.state in (CHALLENGED, PROVEN)
        self.state = CLOSED
        if self._partial_timer is not None:
            self._partial_timer.cancel()
        self._line.close()
        self._out.clear()
        self.buffered = 0
        sink, self.sink = self.sink, None
        self.call = None
        self._owner.connection_closed(self, refused)
        if sink is not None:
            sink.lose()
