"""Removes what dead owners left. A free lock proves that the owner is dead; what has no record of ours is never touched."""

import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

from context import Context
from locks import LockedFile, parse_record, try_lock
from remains import Remains, remove_workspace
from trees import remove_tree

_ID = re.compile(r"sbx_[0-9a-hjkmnp-tv-z]{26}")
_UNFINISHED_RECORD_SECONDS = 60.0
_DRAFT_IMAGE = re.compile(r"\.blank-.*\.img\..*|\.probe-.*")
_DRAFT_IMAGE_SECONDS = 3600.0

Report = Callable[[list[str], list[list[str]]], None]


class Reaper:
    """One sweep over the data folder; calls `done` when everything that could go is gone."""

    def __init__(self, context: Context, done: Report) -> None:
        self._context = context
        self._done = done
        self._reaped: list[str] = []
        self._failed: list[list[str]] = []
        self._open = 1

    def start(self) -> None:
        for name in os.listdir(self._context.rooms.owners):
            path = os.path.join(self._context.rooms.owners, name)
            if _ID.fullmatch(name):
                self._reap_one(name, path)
            elif name.startswith(".new-"):
                _remove_unfinished_record(path)
        self._finish_one()

    def _reap_one(self, name: str, path: str) -> None:
        lock = try_lock(path)
        if lock is None:
            return
        try:
            remains = self._read_remains(name, lock)
        except (ValueError, TypeError) as error:
            self._failed.append([name, f"its owner file cannot be read: {error}"])
            lock.release(unlink=False)
            return
        self._open += 1

        def finished(problem: str | None) -> None:
            if problem is None:
                self._reaped.append(name)
            else:
                self._failed.append([name, problem])
                lock.release(unlink=False)
            self._finish_one()

        remains.kill()
        remains.remove(self._context.events, keep_workspace=False, remove_run_dir=True, done=finished)

    def _read_remains(self, name: str, lock: LockedFile) -> Remains:
        record = parse_record(lock)
        if record is None or record.get("id") != name:
            raise ValueError("it is not a record of this sandbox")
        rooms, pool = self._context.rooms, self._context.pool
        uid = record["uid"]
        uid_lock = None
        if isinstance(uid, int) and pool is not None and pool.owns(uid):
            uid_lock = try_lock(pool.lock_path(uid), create=True)
        return Remains(
            id=name,
            group_paths=[path for path in record["groups"] if _is_inside(path, name)],
            processes=[(int(pid), int(start)) for pid, start in record["processes"]],
            uid=uid if uid_lock is not None else None,
            workspace=_only(record["workspace"], os.path.join(rooms.workspaces, name)),
            run_dir=_only(record["runDir"], os.path.join(rooms.run, name)),
            record=lock,
            uid_lock=uid_lock,
        )

    def _finish_one(self) -> None:
        self._open -= 1
        if self._open == 0:
            sweep_workspaces(self._context)
            if self._context.pool is not None:
                self._context.pool.sweep()
            self._done(self._reaped, self._failed)


def _is_inside(path: object, name: str) -> bool:
    return isinstance(path, str) and os.path.basename(path) == name and os.path.realpath(path).startswith("/sys/fs/cgroup/")


def _only(path: object, expected: str) -> str | None:
    """A record may name the folder that belongs to its sandbox and no other."""
    return expected if path == expected else None


def _remove_unfinished_record(path: str) -> None:
    """A creator that died before its record had its name has made nothing yet."""
    try:
        age = time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return
    if age > _UNFINISHED_RECORD_SECONDS:
        lock = try_lock(path)
        if lock is not None:
            lock.release(unlink=True)


def sweep_workspaces(context: Context) -> None:
    """Ended workspaces go by age, and the oldest first while all together hold too many bytes. One in use by a porter stays."""
    _remove_draft_images(context.rooms.workspaces)
    ended = sorted(_list_ended(context.rooms.workspaces), key=lambda item: item[0])
    total = sum(size for _, size, _ in ended)
    for ended_at, size, folder in ended:
        if time.time() - ended_at <= context.retention_seconds and total <= context.retention_bytes:
            continue
        lock = try_lock(os.path.join(folder, "owner.json"))
        if lock is not None:
            total -= size
            _remove_ended(context, folder, lock)


def _remove_draft_images(workspaces: str) -> None:
    """What a process left that died while it formatted or probed an image."""
    for entry in os.scandir(workspaces):
        if _DRAFT_IMAGE.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _DRAFT_IMAGE_SECONDS:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(entry.path)
            else:
                os.unlink(entry.path)


def _remove_ended(context: Context, folder: str, lock: LockedFile) -> None:
    remove_workspace(context.events, folder, lambda _problem: lock.release(unlink=False))


def _list_ended(workspaces: str) -> list[tuple[float, int, str]]:
    found: list[tuple[float, int, str]] = []
    for name in os.listdir(workspaces):
        folder = os.path.join(workspaces, name)
        owner = _read_owner(folder) if _ID.fullmatch(name) else None
        if owner is not None and isinstance(owner.get("ended"), int | float):
            found.append((float(owner["ended"]), _measure(folder), folder))
    return found


def _read_owner(folder: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(folder, "owner.json"), encoding="utf-8") as file:
            owner = json.load(file)
    except (OSError, ValueError):
        return None
    return owner if isinstance(owner, dict) else None


def _measure(folder: str) -> int:
    """Blocks of the image. A plain folder is not walked by the host; it counts as nothing and goes by its age."""
    try:
        return os.stat(os.path.join(folder, "image.ext4"), follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0
