"""The host's end of "Over one stream" for tests: streams that look like sockets, over the pipes of a supervisor."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Callable
from typing import Any

WINDOW_BYTES = 256 * 1024
PIECE_BYTES = 64 * 1024
CONTROL, DATA, END = 1, 2, 5
TIMEOUT_SECONDS = 20.0


class Stream:
    """As much of a socket as `Link` uses."""

    def __init__(self, streams: Streams, number: int) -> None:
        self.number = number
        self.streams = streams
        self.incoming = bytearray()
        self.received = 0
        """Bytes that came; what was granted beyond the first window is in `granted`."""
        self.granted = 0
        self.credit = WINDOW_BYTES
        self.ended = False
        self.closed = False
        self.changed = threading.Condition()

    def settimeout(self, _seconds: float) -> None:
        pass

    def sendall(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            with self.changed:
                if not self.changed.wait_for(lambda: self.credit > 0 or self.ended or self.closed, TIMEOUT_SECONDS):
                    raise TimeoutError
                if self.ended or self.closed:
                    raise BrokenPipeError
                count = min(len(view), self.credit, PIECE_BYTES)
                self.credit -= count
            self.streams.send(DATA, self.number, bytes(view[:count]))
            view = view[count:]

    def recv(self, count: int) -> bytes:
        with self.changed:
            if not self.changed.wait_for(lambda: self.incoming or self.ended or self.closed, TIMEOUT_SECONDS):
                raise TimeoutError
            taken = bytes(self.incoming[:count])
            del self.incoming[:count]
            self.granted += len(taken)
            ended = self.ended
        if taken and not ended:
            self.streams.control(op="credit", stream=self.number, bytes=len(taken))
        return taken

    def close(self) -> None:
        with self.changed:
            if self.closed:
                return
            self.closed = True
            self.changed.notify_all()
        self.streams.control(op="closed", stream=self.number)
        self.streams.leave(self)


class Streams:
    """Reads in a thread of its own; `opened` is called there. Asserts what the supervisor owes: windows, numbers,
    order."""

    def __init__(self, read_fd: int, write_fd: int, opened: Callable[[Stream], None]) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self.opened = opened
        self.open: dict[int, Stream] = {}
        self.last = 0
        self.most_open = 0
        self.over = threading.Event()
        self.problem: BaseException | None = None
        self._writing = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, kind: int, number: int, payload: bytes = b"") -> None:
        self.send_raw(struct.pack(">IBI", len(payload), kind, number) + payload)

    def send_raw(self, content: bytes, largest: int | None = None) -> None:
        """In writes of at most `largest` bytes; no other thread's frame comes between them."""
        with self._writing:
            view = memoryview(content)
            while view:
                try:
                    view = view[os.write(self.write_fd, view[:largest]) :]
                except OSError:
                    return

    def control(self, **fields: Any) -> None:
        self.send(CONTROL, 0, json.dumps(fields).encode())

    def leave(self, stream: Stream) -> None:
        """Both sides closed: the number is gone for ever."""
        if stream.closed and stream.ended:
            self.open.pop(stream.number, None)

    def close(self) -> None:
        with self._writing:
            os.close(self.write_fd)

    def _read(self) -> None:
        try:
            with os.fdopen(self.read_fd, "rb", buffering=1 << 20) as source:
                while header := source.read(9):
                    length, kind, number = struct.unpack(">IBI", header)
                    self._take(kind, number, source.read(length))
        except BaseException as error:
            self.problem = error
        self.over.set()
        for stream in list(self.open.values()):
            self._end(stream)

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if number == 0:
            assert kind == CONTROL, kind
            self._obey(**json.loads(payload))
            return
        stream = self.open[number]
        assert not stream.ended, "data after the end"
        if kind == END:
            assert not payload
            self._end(stream)
            return
        assert kind == DATA and 0 < len(payload) <= PIECE_BYTES, (kind, len(payload))
        with stream.changed:
            stream.received += len(payload)
            assert stream.received - stream.granted <= WINDOW_BYTES, "more than the window"
            if not stream.closed:
                stream.incoming += payload
            stream.changed.notify_all()

    def _obey(self, op: str, stream: int, bytes: int | None = None) -> None:
        if op == "open":
            assert stream == self.last + 1, (stream, self.last)
            self.last = stream
            self.open[stream] = opened = Stream(self, stream)
            self.most_open = max(self.most_open, len(self.open))
            assert len(self.open) <= 68
            self.opened(opened)
        elif op == "credit":
            assert bytes is not None
            with self.open[stream].changed:
                self.open[stream].credit += bytes
                assert self.open[stream].credit <= WINDOW_BYTES
                self.open[stream].changed.notify_all()
        else:
            assert op == "closed", op
            self._end(self.open[stream])
            self.leave(self.open[stream])

    def _end(self, stream: Stream) -> None:
        with stream.changed:
            stream.ended = True
            stream.changed.notify_all()
