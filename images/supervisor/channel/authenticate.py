"""The proof that this dial comes from the supervisor: HMAC-SHA256, by hand, because hmac and hashlib are slow to
import."""

from __future__ import annotations

from cpython import sha256

BLOCK_BYTES = 64


def hmac_sha256(key: bytes, message: bytes) -> str:
    assert len(key) <= BLOCK_BYTES
    block = key.ljust(BLOCK_BYTES, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return str(sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest())


def prove(key: bytes, nonce: str, role: str, call_id: str) -> str:
    return hmac_sha256(key, f"paddock/1\n{nonce}\n{role}\n{call_id}".encode("ascii"))
