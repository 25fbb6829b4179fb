"""The socket between the supervisor and a runner: code goes in, a result and rich outputs come back.

To the runner: `u32be length | JSON header`, `u32be length | code`. From it: `u8 kind | u32be length | bytes`, kind 1
the result, kind 2 a rich output (`u8 mime length | mime | bytes`), kind 3 (in a context, empty) that from now on SIGINT
interrupts the code of this run. The runner is guest code: every length is checked, and a breach only means that no more
is read.
"""

from __future__ import annotations

import os

from cpython import deque
from json_text import JsonError, decode_object, encode
from loop import READ, close_quietly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from channel.calls import Fields
    from loop import Loop

RESULT_LIMIT = 64 * 1024
CLEAN_LIMIT = 60 * 1024 + 512
RICH_LIMIT = 16 << 20
MAX_RICH_OUTPUTS = 1000
"""Further ones are left out: each costs the host an object, however small it is."""
READ_BYTES = 256 * 1024
RESULT, RICH, BEGUN = 1, 2, 3
PREFIX_BYTES = 5


class Payload:
    __slots__ = (
        "_loop", "_fd", "_queue", "_buffer", "_rich_left", "_rich_count", "_paused", "_events", "on_begun", "on_result",
        "on_rich",
    )  # fmt: skip

    def __init__(self, loop: Loop, fd: int) -> None:
        """Takes `fd` over."""
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._queue: deque[bytes] = deque()
        self._buffer = bytearray()
        self._rich_left = RICH_LIMIT
        self._rich_count = 0
        self._paused = False
        self._events = (False, False)
        self.on_begun: Callable[[], None] | None = None
        self.on_result: Callable[[Fields], None] | None = None
        self.on_rich: Callable[[str, bytes], None] | None = None
        self._rearm()

    def run(self, header: Fields, code: bytes) -> None:
        self._rich_left = RICH_LIMIT
        self._rich_count = 0
        for block in (encode(header), code):
            self._queue.append(len(block).to_bytes(4, "big"))
            self._queue.append(block)
        self._write()

    def pause(self, paused: bool) -> None:
        self._paused = paused
        self._rearm()

    def drain(self) -> bool:
        """Reads what is there; True when there is no more, False when paused on the way."""
        while self._fd >= 0 and not self._paused and self._read():
            pass
        return not self._paused or self._fd < 0

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.forget(self._fd)
            close_quietly(self._fd)
            self._fd = -1
            self._queue.clear()
            self._buffer = bytearray()

    def _rearm(self) -> None:
        wanted = (not self._paused, bool(self._queue))
        if self._fd < 0 or wanted == self._events:
            return
        self._events = wanted
        if any(wanted):
            self._loop.watch(self._fd, self._handle, read=wanted[0], write=wanted[1])
        else:
            self._loop.forget(self._fd)

    def _handle(self, events: int) -> None:
        if self._queue:
            self._write()
        if not self._paused and self._fd >= 0:
            self._read()
        elif not events & READ:  # a hang-up while paused would be reported without end
            self._events = (False, False)
            self._loop.forget(self._fd)

    def _write(self) -> None:
        try:
            while self._queue:
                block = self._queue[0]
                written = os.write(self._fd, block)
                if written < len(block):
                    self._queue[0] = block[written:]
                    break
                self._queue.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._queue.clear()  # the runner is gone; its exit says the rest
        self._rearm()

    def _read(self) -> bool:
        """Whether something was there."""
        try:
            chunk = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return False
        self._buffer += chunk
        try:
            while self._take_frame():
                pass
        except (JsonError, ValueError):
            self.close()
        return True

    def _take_frame(self) -> bool:
        if len(self._buffer) < PREFIX_BYTES:
            return False
        kind = self._buffer[0]
        length = int.from_bytes(self._buffer[1:PREFIX_BYTES], "big")
        limit = {RESULT: RESULT_LIMIT, RICH: self._rich_left + 256, BEGUN: 0}.get(kind, -1)
        if length > limit:
            raise ValueError("a breach of the runner's protocol")
        if len(self._buffer) < PREFIX_BYTES + length:
            return False
        body = bytes(self._buffer[PREFIX_BYTES : PREFIX_BYTES + length])
        del self._buffer[: PREFIX_BYTES + length]
        if kind == RICH:
            self._take_rich(body)
        elif kind == BEGUN:
            if self.on_begun is not None:
                self.on_begun()
        elif self.on_result is not None:
            result = decode_object(body)
            if self._rich_count > MAX_RICH_OUTPUTS:
                result["truncated"] = True
            self.on_result(result)
        return self._fd >= 0

    def _take_rich(self, body: bytes) -> None:
        mime_end = 1 + body[0] if body else 0
        mime = body[1:mime_end]
        if not mime or len(mime) < mime_end - 1 or not mime.isascii() or not mime.decode().isprintable():
            raise ValueError("a rich output without a MIME type")
        self._rich_left -= len(body) - mime_end
        if self._rich_left < 0:
            raise ValueError("too many bytes of rich output")
        self._rich_count += 1
        if self.on_rich is not None and self._rich_count <= MAX_RICH_OUTPUTS:
            self.on_rich(mime.decode(), body[mime_end:])


def clean_result(result: Fields) -> Fields:
    """The fields of a result as the protocol has them; whatever the guest put there instead becomes null."""
    value = result.get("value")
    cleaned: Fields = {
        "value": value if isinstance(value, str) else None,
        "error": _clean_error(result.get("error")),
        "truncated": result.get("truncated") is True,
    }
    # it goes into one control message with the rest of `done`
    return cleaned if len(encode(cleaned)) <= CLEAN_LIMIT else {"value": None, "error": None, "truncated": True}


def _clean_error(error: object) -> Fields | None:
    if not isinstance(error, dict):
        return None
    trace = error.get("traceback")
    frames = [_clean_frame(frame) for frame in (trace if isinstance(trace, list) else []) if isinstance(frame, dict)]
    return {"name": _text(error, "name", 4096), "message": _text(error, "message", 65536), "traceback": frames[-100:]}


def _clean_frame(frame: Fields) -> Fields:
    line = frame.get("line")
    known = isinstance(line, int) and not isinstance(line, bool) and 0 <= line < 2**53
    texts = {name: _text(frame, name, 4096) for name in ("file", "function", "text")}
    return {**texts, "line": line if known else 0}


def _text(fields: Fields, name: str, limit: int) -> str:
    text = fields.get(name)
    return text[:limit] if isinstance(text, str) else ""
