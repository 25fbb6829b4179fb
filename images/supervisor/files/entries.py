"""`list` and `stat`: what lies at a path, links as links."""

from __future__ import annotations

import os
import stat

from .access.names import fits, show, show_text
from .access.paths import ENTRY_FLAGS, Place, locate, open_any, open_folder
from .access.walk import Found, walk
from .contract import DRAIN, STEP, TYPE_CHECKING
from .lines import Lines

if TYPE_CHECKING:
    from channel.calls import Call

    from .contract import Request, Steps

STEP_ENTRIES = 256
MAX_LISTING_BYTES = 32 << 20
# No time outside of this is a date to the host; a guest gives its files any.
MAX_MTIME_MS = 8_640_000_000_000_000

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}


def describe_entry(path: str, info: os.stat_result, target: bytes | None) -> dict[str, object]:
    shown = None if target is None else show(target)
    return {
        "path": path,
        "type": TYPES.get(stat.S_IFMT(info.st_mode), "other"),
        "size": info.st_size,
        "mode": stat.S_IMODE(info.st_mode),
        "mtime_ms": min(max(info.st_mtime_ns // 1_000_000, -MAX_MTIME_MS), MAX_MTIME_MS),
        "target": shown if shown is not None and fits(shown) else None,
    }


def run_stat(call: Call, request: Request) -> Steps:
    yield from ()
    place = locate(call, request["path"])
    fd = open_any(place, ENTRY_FLAGS)
    try:
        info = os.fstat(fd)
        target = os.readlink(b"", dir_fd=fd) if stat.S_ISLNK(info.st_mode) else None
    finally:
        os.close(fd)
    return {"entry": describe_entry(place.text, info, target)}


def run_list(call: Call, request: Request) -> Steps:
    """`depth` 1 is the folder itself; folders that may not be read are listed but not entered.

    Entries whose path is too long for the host are left out, and `truncated` says so.
    """
    place = locate(call, request["path"])
    limit: int = request["limit"]
    lines = Lines(call)
    count = 0
    is_whole = True
    fd = open_folder(place)
    found = walk(fd, max(1, request["depth"]), limit + 1, skips_unreadable=True)
    try:
        for entry in found:
            if count == limit or lines.total_bytes > MAX_LISTING_BYTES:
                is_whole = False
                break
            path = join_text(place, entry.path)
            if not fits(path):
                is_whole = False
                continue
            target = read_target(entry) if stat.S_ISLNK(entry.info.st_mode) else None
            lines.add(describe_entry(path, entry.info, target))
            count += 1
            if count % STEP_ENTRIES == 0:
                yield DRAIN if call.full else STEP
    finally:
        found.close()
        os.close(fd)
    lines.flush()
    return {"entries": count, "truncated": not is_whole}


def read_target(entry: Found) -> bytes | None:
    try:
        return entry.read_link()
    except OSError:
        return None


def join_text(place: Place, path: str) -> str:
    if place.path == b".":
        return show_text(path) if place.root is not None else "/" + show_text(path)
    return f"{place.text}/{show_text(path)}"
