"""`space`: free bytes of the workspace and of /tmp, and on request what the workspace's files take."""

from __future__ import annotations

import os

from .access.paths import locate, open_folder
from .access.walk import walk
from .contract import STEP, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from channel.calls import Call

    from .contract import Request, Steps

BLOCK_BYTES = 512
STEP_ENTRIES = 256


def run_space(call: Call, request: Request) -> Steps:
    fd = open_folder(locate(call, "."))
    try:
        free = free_bytes(os.fstatvfs(fd))
        used = (yield from sum_blocks(fd)) if request["used"] else None
    finally:
        os.close(fd)
    return {"workspace_free": free, "tmp_free": free_bytes(os.statvfs("/tmp")), "workspace_used": used}


def free_bytes(info: os.statvfs_result) -> int:
    """What an ordinary user may still write; 0 when no inode is free."""
    if info.f_files and not info.f_favail:
        return 0
    return info.f_bavail * info.f_frsize


def sum_blocks(fd: int) -> Generator[Any, Any, int]:
    """Whole blocks of every entry; a file with several names counts once for each."""
    total = 0
    found = walk(fd, skips_unreadable=True)
    try:
        for count, entry in enumerate(found):
            total += entry.info.st_blocks * BLOCK_BYTES
            if count % STEP_ENTRIES == STEP_ENTRIES - 1:
                yield STEP
    finally:
        found.close()
    return total
