"""Frames: `u32 length | u8 type | u32 stream | payload`, parsed incrementally, with limits before allocation."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROL, DATA, STDOUT, STDERR, END = 1, 2, 3, 4, 5
HEADER_BYTES = 9
CONTROL_LIMIT = 64 * 1024
DATA_LIMIT = 1 << 20

# What the host may send. stdout and stderr only go the other way.
_INCOMING_LIMITS = {CONTROL: CONTROL_LIMIT, DATA: DATA_LIMIT, END: 0}


class FrameError(Exception):
    pass


def make_header(kind: int, length: int, stream: int = 0) -> bytes:
    return b"%b%c%b" % (length.to_bytes(4, "big"), kind, stream.to_bytes(4, "big"))


class FrameReader:
    """Feed it what arrived; it yields whole frames. A payload's buffer is made only when its length passed the
    limit."""

    __slots__ = ("_header", "_payload", "_filled", "_kind")

    def __init__(self) -> None:
        self._header = b""
        self._payload: bytearray | None = None
        self._filled = 0
        self._kind = 0

    @property
    def partial(self) -> bool:
        return self._payload is not None or self._header != b""

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        view = memoryview(chunk)
        position = 0
        if self._payload is not None:
            position = self._fill(view)
            if self._filled < len(self._payload):
                return
            yield self._take()
        while position < len(view):
            header = self._header + bytes(view[position : position + HEADER_BYTES - len(self._header)])
            position += len(header) - len(self._header)
            if len(header) < HEADER_BYTES:
                self._header = header
                return
            self._header = b""
            kind, length = self.check_header(header)
            if length <= len(view) - position:
                yield kind, bytes(view[position : position + length])
                position += length
                continue
            self._kind, self._payload, self._filled = kind, bytearray(length), 0
            position += self._fill(view[position:])

    def check_header(self, header: bytes) -> tuple[int, int]:
        kind = header[4]
        length = int.from_bytes(header[:4], "big")
        limit = _INCOMING_LIMITS.get(kind)
        if limit is None:
            raise FrameError(f"unknown frame type {kind}")
        if length > limit:
            raise FrameError(f"frame of {length} bytes exceeds {limit}")
        if header[5:] != b"\0\0\0\0":
            raise FrameError("stream is not 0")
        return kind, length

    def _fill(self, view: memoryview) -> int:
        assert self._payload is not None
        count = min(len(view), len(self._payload) - self._filled)
        self._payload[self._filled : self._filled + count] = view[:count]
        self._filled += count
        return count

    def _take(self) -> tuple[int, bytes]:
        assert self._payload is not None
        frame = self._kind, bytes(self._payload)
        self._payload = None
        return frame
