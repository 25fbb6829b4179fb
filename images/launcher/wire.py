"""Length-prefixed JSON between the owner (Node) and the launcher."""

import json
import os
import struct
from typing import Any

Message = dict[str, Any]
_HEADER = struct.Struct(">I")
_MAX_BYTES = 4 * 1024 * 1024


class Wire:
    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self._write_fd = write_fd
        self._pending = bytearray()

    def receive(self) -> list[Message] | None:
        """The messages that have arrived; None when the owner is gone."""
        try:
            chunk = os.read(self.read_fd, 1 << 16)
        except BlockingIOError:
            return []
        if not chunk:
            return None
        self._pending += chunk
        messages: list[Message] = []
        while len(self._pending) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._pending)
            if length > _MAX_BYTES:
                return None
            end = _HEADER.size + length
            if len(self._pending) < end:
                break
            messages.append(json.loads(self._pending[_HEADER.size : end]))
            del self._pending[:end]
        return messages

    def send(self, message: Message) -> None:
        """Messages to an owner that is gone are dropped: reading its end of file ends the launcher."""
        payload = json.dumps(message, separators=(",", ":")).encode()
        rest = memoryview(_HEADER.pack(len(payload)) + payload)
        try:
            while rest:
                rest = rest[os.write(self._write_fd, rest) :]
        except BrokenPipeError:
            pass
