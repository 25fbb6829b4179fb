"""The entries of an incoming archive, each checked before anything is created from it."""

from __future__ import annotations

from ..access.names import show
from ..contract import TYPE_CHECKING
from ..errors import fail
from .format import (
    BLOCK_BYTES,
    FILE,
    FOLDER,
    GNU_LONG_LINK,
    GNU_LONG_NAME,
    HARD_LINK,
    PAX_GLOBAL,
    PAX_NEXT,
    SYMLINK,
    ZERO_BLOCK,
    Broken,
    Header,
    decode_block,
    decode_records,
    pad_size,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from channel.calls import OpError

    from .source import Source

MAX_ENTRIES = 100_000
MAX_DEPTH = 64
MAX_NAME_BYTES = 255
MAX_LINK_BYTES = 4095
MAX_EXTRA_BYTES = 1 << 16
MAX_EXTRAS = 8
"""Headers that only tell of the next one: each of the four kinds, twice."""
SPECIAL_BITS = 0o7000

KINDS = {b"0": FILE, b"\0": FILE, b"7": FILE, b"1": HARD_LINK, b"2": SYMLINK, b"5": FOLDER}
REFUSED_KINDS = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"S": "a sparse file",
}
EXTRA_KINDS = frozenset((PAX_NEXT, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_LINK))


class Entry:
    """`names` is the path below the target; `link_names` that of a hard link's source."""

    __slots__ = ("header", "names", "link_names")

    def __init__(self, header: Header, names: list[bytes], link_names: list[bytes]) -> None:
        self.header = header
        self.names = names
        self.link_names = link_names


def refuse(path: bytes, reason: str) -> OpError:
    return fail("archive_refused", show(path), reason)


def read_entry(source: Source, any_link: bool = False) -> Generator[Any, Any, Entry | None]:
    """The next checked entry, whose content follows in the source, or None after the archive's end."""
    path: bytes | None = None
    link: bytes | None = None
    records: dict[bytes, bytes] = {}
    name = b"archive"
    extras = 0
    try:
        while True:
            block = yield from source.take(BLOCK_BYTES)
            if block == ZERO_BLOCK:
                yield from read_trailer(source)
                return None
            header = decode_block(block)
            name = header.path
            if header.kind not in EXTRA_KINDS:
                break
            extras += 1
            if extras > MAX_EXTRAS:
                raise refuse(name, f"more than {MAX_EXTRAS} extended headers")
            data = yield from read_extra(source, header)
            if header.kind == GNU_LONG_NAME:
                path = data.removesuffix(b"\0")
            elif header.kind == GNU_LONG_LINK:
                link = data.removesuffix(b"\0")
            elif header.kind == PAX_NEXT:
                records = decode_records(data)
            else:
                check_global(decode_records(data))
    except Broken as error:
        raise refuse(name, str(error)) from None
    header.path = records.get(b"path", header.path if path is None else path)
    header.link = records.get(b"linkpath", header.link if link is None else link)
    apply_records(header, records)
    return check_entry(header, any_link)


def read_trailer(source: Source) -> Generator[Any, Any, None]:
    while (yield from source.fill()):
        if bytes(source.frame).strip(b"\0"):
            raise refuse(b"archive", "has data after its end")
        source.frame = source.frame[:0]


def read_extra(source: Source, header: Header) -> Generator[Any, Any, bytes]:
    if header.size > MAX_EXTRA_BYTES:
        raise refuse(header.path, f"an extended header of {header.size} bytes")
    data = yield from source.take(header.size + pad_size(header.size))
    return data[: header.size]


def check_global(records: dict[bytes, bytes]) -> None:
    for key in (b"path", b"linkpath", b"size"):
        if key in records:
            raise refuse(b"archive", f"a global header that sets {key.decode()}")


def apply_records(header: Header, records: dict[bytes, bytes]) -> None:
    if any(key.startswith(b"GNU.sparse.") for key in records):
        raise refuse(header.path, "a sparse file")
    size = records.get(b"size")
    if size is not None:
        if not size.isdigit() or len(size) > 18 or header.size not in (0, int(size)):
            raise refuse(header.path, "two different sizes")
        header.size = int(size)
    seconds = records.get(b"mtime", b"").partition(b".")[0]
    if seconds.isdigit() and len(seconds) < 12:
        header.mtime = int(seconds)


def check_entry(header: Header, any_link: bool = False) -> Entry:
    path = header.path
    kind = KINDS.get(header.kind)
    if kind is None:
        reason = REFUSED_KINDS.get(header.kind, f"an entry of type {show(header.kind)!r}")
        raise refuse(path, reason)
    if kind == FILE and path.endswith(b"/"):
        kind = FOLDER
    header.kind = kind
    names = check_path(path, path)
    if not names and kind != FOLDER:
        raise refuse(path, "has no name")
    if kind == FILE and header.mode & SPECIAL_BITS:
        raise refuse(path, "has setuid, setgid or sticky bits")
    if kind != FILE and header.size:
        raise refuse(path, "content that belongs to no file")
    link_names: list[bytes] = []
    if kind == SYMLINK:
        check_symlink(header, len(names) - 1, any_link)
    elif kind == HARD_LINK:
        link_names = check_path(path, header.link)
        if not link_names:
            raise refuse(path, "a hard link to nothing")
    return Entry(header, names, link_names)


def check_path(entry_path: bytes, path: bytes) -> list[bytes]:
    if b"\0" in path:
        raise refuse(entry_path, "has a NUL")
    if path.startswith(b"/"):
        raise refuse(entry_path, "an absolute path")
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if b".." in names:
        raise refuse(entry_path, "leaves the tree")
    if len(names) > MAX_DEPTH:
        raise refuse(entry_path, f"deeper than {MAX_DEPTH} folders")
    if any(len(name) > MAX_NAME_BYTES for name in names):
        raise refuse(entry_path, f"a name longer than {MAX_NAME_BYTES} bytes")
    return names


def check_symlink(header: Header, depth: int, any_link: bool) -> None:
    target = header.link
    if not target or b"\0" in target or len(target) > MAX_LINK_BYTES:
        raise refuse(header.path, "a link without a proper target")
    problem = None if any_link else find_escape(target, depth)
    if problem is not None:
        raise refuse(header.path, problem)


def find_escape(target: bytes, depth: int) -> str | None:
    """`..` may only lead, and no further up than the link lies deep: after a name it could go up from where another
    link leads.
    """
    if target.startswith(b"/"):
        return "a link to an absolute path"
    names = [name for name in target.split(b"/") if name not in (b"", b".")]
    ups = 0
    while ups < len(names) and names[ups] == b"..":
        ups += 1
    return "a link that leaves the tree" if ups > depth or b".." in names[ups:] else None
