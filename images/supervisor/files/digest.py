"""SHA-256 in the cheapest way for its size.

OpenSSL is six times faster than the interpreter's own code but costs 4 MiB of memory once loaded, so it is used only
for content that is worth it.
"""

from __future__ import annotations

from cpython import make_large_sha256, sha256

from .contract import TYPE_CHECKING

if TYPE_CHECKING:
    from cpython import Hash

SMALL_BYTES = 1 << 19


def make_hash(expected_bytes: int) -> Hash:
    return sha256() if expected_bytes <= SMALL_BYTES else make_large_sha256()


class StreamHash:
    """For a stream of unknown length: its beginning is held until it is known to be small or large."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.held_bytes = 0
        self.hash: Hash | None = None

    def update(self, data: bytes) -> None:
        if self.hash is not None:
            self.hash.update(data)
            return
        self.held.append(data)
        self.held_bytes += len(data)
        if self.held_bytes > SMALL_BYTES:
            self.start(make_large_sha256())

    def start(self, chosen: Hash) -> Hash:
        for part in self.held:
            chosen.update(part)
        self.held = []
        self.hash = chosen
        return chosen

    def hexdigest(self) -> str:
        return (self.hash or self.start(sha256())).hexdigest()
