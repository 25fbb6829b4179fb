"""Ended workspaces that were kept, and when they go."""

import json
import os
import re
import time

from context import Context
from owners.footprint import remove_workspace
from owners.locks import LockedFile, try_lock
from workspaces import images
from workspaces.trees import remove_tree

SANDBOX_ID = re.compile(r"sbx_[0-9a-hjkmnp-tv-z]{26}")
_DRAFT = re.compile(r"\.blank-.*\.img\..*|\.probe-.*")
_DRAFT_SECONDS = 3600.0


def sweep_workspaces(context: Context) -> None:
    """Ended workspaces go by age, and the oldest first while all together hold too many bytes. One in use by a porter
    stays."""
    _remove_draft_images(context.rooms.workspaces)
    ended = sorted(_list_ended(context.rooms.workspaces), key=lambda item: item[0])
    total = sum(size for _, size, _ in ended)
    for ended_at, size, folder in ended:
        if time.time() - ended_at <= context.retention_seconds and total <= context.retention_bytes:
            continue
        try:
            lock = try_lock(os.path.join(folder, "owner.json"))
        except OSError:
            continue
        if lock is not None:
            total -= size
            _remove_ended(context, folder, lock)


def _remove_draft_images(workspaces: str) -> None:
    """What a process left that died while it formatted or probed an image."""
    for entry in os.scandir(workspaces):
        try:
            if (
                _DRAFT.fullmatch(entry.name)
                and time.time() - entry.stat(follow_symlinks=False).st_mtime > _DRAFT_SECONDS
            ):
                _remove_draft(entry)
        except OSError:
            # Another process was faster, or the next sweep tries again.
            continue


def _remove_draft(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        remove_tree(entry.path)
    else:
        os.unlink(entry.path)


def _remove_ended(context: Context, folder: str, lock: LockedFile) -> None:
    try:
        remove_workspace(context.events, folder, lambda _problem: lock.release(unlink=False))
    except OSError:
        lock.release(unlink=False)


def read_ended(folder: str) -> float | None:
    """When the workspace ended; None for one that is alive or was never kept."""
    try:
        with open(os.path.join(folder, "owner.json"), encoding="utf-8", opener=_open_file) as file:
            ended = json.load(file).get("ended")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return float(ended) if isinstance(ended, int | float) else None


def _open_file(path: str, flags: int) -> int:
    """What is no file is neither waited for nor followed."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _list_ended(workspaces: str) -> list[tuple[float, int, str]]:
    found: list[tuple[float, int, str]] = []
    for name in os.listdir(workspaces):
        folder = os.path.join(workspaces, name)
        ended = read_ended(folder) if SANDBOX_ID.fullmatch(name) else None
        if ended is not None:
            found.append((ended, _measure(folder), folder))
    return found


def _measure(folder: str) -> int:
    """Blocks of the image. A plain folder is not walked by the host; it counts as nothing and goes by its age."""
    try:
        return os.stat(images.image_path(folder), follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0
