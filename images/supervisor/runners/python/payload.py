"""The payload socket between the supervisor and the process of a run.

In:  u32be length | JSON {"file", "env", "cwd", "context"}, then u32be length | code (UTF-8); in a context many times.
Out: u8 kind | u32be length | bytes; kind 1 is the JSON result, kind 2 a rich output: u8 mime length | mime | bytes,
kind 3 (in a context, empty) says that from now on SIGINT interrupts the code of this run.
"""

from __future__ import annotations

import json
import os
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


KIND_RESULT = 1
KIND_RICH = 2
KIND_BEGUN = 3
MAX_RICH_BYTES = 16 << 20
MAX_MIME_CHARS = 100


class Request:
    __slots__ = ("code", "cwd", "env", "file", "is_context")

    def __init__(self, header: dict[str, Any], code: bytes) -> None:
        self.file: str = header["file"]
        self.env: dict[str, str] = header["env"]
        self.cwd: str = header["cwd"]
        self.is_context: bool = header["context"]
        self.code = code


class Payload:
    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd
        self.rich_left = MAX_RICH_BYTES
        self.is_truncated = False
        self.lock = threading.Lock()
        os.register_at_fork(after_in_child=self.abandon)

    def abandon(self) -> None:
        """A process that guest code forked must neither answer for its parent nor hold the socket open."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        self.lock = threading.Lock()

    def read_request(self) -> Request | None:
        """The next run, or None at the end of the socket."""
        header = self.read_block()
        code = None if header is None else self.read_block()
        if header is None or code is None:
            return None
        self.rich_left = MAX_RICH_BYTES
        self.is_truncated = False
        return Request(json.loads(header), code)

    def read_block(self) -> bytes | None:
        prefix = self.read_exactly(4)
        return None if prefix is None else self.read_exactly(int.from_bytes(prefix, "big"))

    def read_exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            if self.fd is None:
                return None
            part = os.read(self.fd, size - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)

    def send_begun(self) -> None:
        self.send(KIND_BEGUN, b"")

    def send_result(self, result: dict[str, Any]) -> None:
        self.send(KIND_RESULT, json.dumps(result).encode())

    def send_rich(self, mime: str, data: bytes) -> None:
        """Sends one rich output; what exceeds the budget of the run is left out and the result is marked."""
        if not mime.isascii() or not 0 < len(mime) <= MAX_MIME_CHARS:
            return
        if len(data) > self.rich_left:
            self.is_truncated = True
            return
        self.rich_left -= len(data)
        self.send(KIND_RICH, bytes((len(mime),)) + mime.encode("ascii") + data)

    def send(self, kind: int, body: bytes) -> None:
        """Whole or not at all: an interrupt in the middle of a frame would break the protocol."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            self.write_frame(kind, body)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def write_frame(self, kind: int, body: bytes) -> None:
        with self.lock:
            rest = memoryview(bytes((kind,)) + len(body).to_bytes(4, "big") + body)
            try:
                while rest and self.fd is not None:
                    rest = rest[os.write(self.fd, rest) :]
            except ConnectionError:
                self.abandon()
