"""`tar_out`: a tree as a tar stream. Links are stored as links; sockets, FIFOs and devices are left out."""

from __future__ import annotations

import os
import stat

from ..access.names import show_text
from ..access.paths import ANCHOR_FLAGS, Place, encode, locate, open_any, open_folder, split
from ..access.walk import Found, walk
from ..contract import DRAIN, STEP, TYPE_CHECKING, OpError
from ..errors import describe, fail
from .entries import MAX_ENTRIES
from .format import FILE, FOLDER, SYMLINK, ZERO_BLOCK, Header, encode_header, pad_size

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from channel.calls import Call

    from ..contract import Request, Steps

CHUNK_BYTES = 1 << 18
STEP_ENTRIES = 64


def run_tar_out(call: Call, request: Request) -> Steps:
    place = locate(call, request["path"])
    os.close(open_folder(place))
    writer = Writer(call)
    paths = request["paths"]
    for names in [[]] if paths is None else [split_relative(path) for path in paths]:
        found = find(place, names)
        try:
            for entry in found:
                yield from writer.add(entry)
        finally:
            found.close()
    writer.put(ZERO_BLOCK * 2)
    writer.flush()
    return {"entries": writer.entries, "bytes": writer.bytes}


def split_relative(path: str) -> list[bytes]:
    raw = encode(path)
    if raw.startswith(b"/"):
        raise fail("invalid", path, "not relative to the tree")
    return split(raw)


def find(place: Place, names: list[bytes]) -> Generator[Found, None, None]:
    """The entry at `names` below the tree and what it holds; nothing stands for the tree's own content."""
    prefix = "".join(f"{os.fsdecode(name)}/" for name in names)
    path = b"/".join([place.path, *names])
    if names:
        parent_fd = open_any(place.at(path.rpartition(b"/")[0]), ANCHOR_FLAGS)
        try:
            name = os.fsdecode(names[-1])
            info = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            yield Found(prefix[:-1], name, parent_fd, info)
        except OSError as error:
            raise describe(error, show_text(prefix[:-1])) from error
        finally:
            os.close(parent_fd)
        if not stat.S_ISDIR(info.st_mode):
            return
    fd = open_folder(place.at(path))
    entries = walk(fd)
    try:
        for found in entries:
            found.path = prefix + found.path
            yield found
    finally:
        entries.close()
        os.close(fd)


class Writer:
    """Gathers headers and small files into frames; what is larger goes out as it is read."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.entries = 0
        self.bytes = 0
        self.held: list[bytes] = []
        self.held_bytes = 0

    def put(self, data: bytes) -> None:
        self.held.append(data)
        self.held_bytes += len(data)
        if self.held_bytes >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.held:
            self.call.send_data(self.held[0] if len(self.held) == 1 else b"".join(self.held))
        self.held = []
        self.held_bytes = 0

    def add(self, entry: Found) -> Generator[Any, Any, None]:
        mode = entry.info.st_mode
        try:
            if stat.S_ISREG(mode):
                yield from self.add_file(entry)
            elif stat.S_ISDIR(mode):
                self.put_header(entry, entry.info, FOLDER, b"")
            elif stat.S_ISLNK(mode):
                self.put_header(entry, entry.info, SYMLINK, entry.read_link())
        except FileNotFoundError:
            return
        except OSError as error:
            raise describe(error, show_text(entry.path)) from error
        if self.entries % STEP_ENTRIES == 0 or self.call.full:
            yield DRAIN if self.call.full else STEP

    def put_header(self, entry: Found, info: os.stat_result, kind: bytes, link: bytes) -> None:
        if self.entries >= MAX_ENTRIES:
            raise OpError("refused", f"more than {MAX_ENTRIES} entries")
        self.entries += 1
        path = os.fsencode(entry.path) + (b"/" if kind == FOLDER else b"")
        size = info.st_size if kind == FILE else 0
        mtime = int(info.st_mtime)
        self.put(encode_header(Header(path, kind, info.st_mode & 0o777, size, mtime, link)))

    def add_file(self, entry: Found) -> Generator[Any, Any, None]:
        fd = entry.open_file()
        try:
            info = os.fstat(fd)
            self.put_header(entry, info, FILE, b"")
            self.bytes += info.st_size
            rest = info.st_size
            while rest and (chunk := os.read(fd, min(CHUNK_BYTES, rest))):
                self.put(chunk)
                rest -= len(chunk)
                if rest:
                    yield DRAIN if self.call.full else STEP
        finally:
            os.close(fd)
        # A file that shrank while it was read keeps the size that its header promised.
        rest += pad_size(info.st_size)
        while rest:
            self.put(bytes(min(CHUNK_BYTES, rest)))
            rest -= min(CHUNK_BYTES, rest)
            if rest:
                yield DRAIN if self.call.full else STEP
