"""Incoming data frames as a byte stream that is read in exact amounts."""

from __future__ import annotations

from ..contract import FRAME, TYPE_CHECKING, OpError

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any


class Source:
    def __init__(self) -> None:
        self.frame = memoryview(b"")
        self.is_over = False

    def fill(self) -> Generator[Any, Any, bool]:
        """Whether there is anything left to take."""
        while not self.frame and not self.is_over:
            frame = yield FRAME
            if isinstance(frame, dict):
                raise OpError("invalid", "stopped before the archive's end")
            self.is_over = frame is None
            self.frame = memoryview(frame or b"")
        return bool(self.frame)

    def take_some(self, limit: int) -> Generator[Any, Any, memoryview]:
        """At least one byte and at most `limit`."""
        if not (yield from self.fill()):
            raise OpError("archive_refused", "the archive is truncated")
        part = self.frame[:limit]
        self.frame = self.frame[limit:]
        return part

    def take(self, size: int) -> Generator[Any, Any, bytes]:
        if len(self.frame) >= size:
            part = bytes(self.frame[:size])
            self.frame = self.frame[size:]
            return part
        parts = bytearray()
        while len(parts) < size:
            parts += yield from self.take_some(size - len(parts))
        return bytes(parts)
