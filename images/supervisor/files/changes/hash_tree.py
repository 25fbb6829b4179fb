"""`hash_tree`: one digest over path, type, mode and content of every entry.

Entries come parents first, the names of a folder in byte order. Each adds `type NUL mode-in-octal NUL path NUL
content NUL LF`, where content is a file's sha256 in hex, a link's target, or nothing.
"""

from __future__ import annotations

import os
import stat

from cpython import make_large_sha256

from ..access.paths import locate, open_folder
from ..access.walk import Found, walk
from ..contract import STEP, TYPE_CHECKING, OpError
from ..entries import TYPES

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from channel.calls import Call

    from ..contract import Request, Steps

MAX_ENTRIES = 1_000_000
CHUNK_BYTES = 1 << 20
STEP_BYTES = 1 << 18
STEP_ENTRIES = 64


def run_hash_tree(call: Call, request: Request) -> Steps:
    place = locate(call, request["path"])
    digest = make_large_sha256()
    count = total = 0
    fd = open_folder(place)
    found = walk(fd)
    try:
        for entry in found:
            count += 1
            if count > MAX_ENTRIES:
                raise OpError("refused", f"more than {MAX_ENTRIES} entries")
            mode = entry.info.st_mode
            content = b""
            if stat.S_ISREG(mode):
                size, content = yield from hash_content(entry)
                total += size
            elif stat.S_ISLNK(mode):
                content = entry.read_link()
            digest.update(format_entry(entry, content))
            if count % STEP_ENTRIES == 0:
                yield STEP
    finally:
        found.close()
        os.close(fd)
    return {"sha256": digest.hexdigest(), "entries": count, "bytes": total}


def format_entry(entry: Found, content: bytes) -> bytes:
    mode = entry.info.st_mode
    kind = TYPES.get(stat.S_IFMT(mode), "other")
    head = f"{kind}\0{stat.S_IMODE(mode):o}\0".encode()
    return head + os.fsencode(entry.path) + b"\0" + content + b"\0\n"


def hash_content(entry: Found) -> Generator[Any, Any, tuple[int, bytes]]:
    digest = make_large_sha256()
    size = 0
    fd = entry.open_file()
    try:
        while chunk := os.read(fd, CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if len(chunk) >= STEP_BYTES:
                yield STEP
    finally:
        os.close(fd)
    return size, digest.hexdigest().encode()
