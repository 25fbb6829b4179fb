"""JSON lines gathered into data frames."""

from __future__ import annotations

from json_text import encode

from .contract import TYPE_CHECKING

if TYPE_CHECKING:
    from channel.calls import Call

PAGE_BYTES = 1 << 18


class Lines:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.held: list[bytes] = []
        self.held_bytes = 0
        self.total_bytes = 0

    def add(self, fields: dict[str, object]) -> None:
        line = encode(fields) + b"\n"
        if self.held_bytes + len(line) > PAGE_BYTES:
            self.flush()
        self.held.append(line)
        self.held_bytes += len(line)
        self.total_bytes += len(line)

    def flush(self) -> None:
        if self.held:
            self.call.send_data(b"".join(self.held))
            self.held = []
            self.held_bytes = 0
