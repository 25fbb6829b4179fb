"""Removes what dead owners left. A free lock proves that the owner is dead; what has no record of ours is never touched."""

import os
from collections.abc import Callable

from context import Context
from locks import LockedFile, parse_record, try_lock
from remains import Remains
from retention import SANDBOX_ID, read_ended, sweep_workspaces

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
            if SANDBOX_ID.fullmatch(name):
                self._reap_one(name, path)
            elif name.startswith(".new-"):
                _remove_unfinished_record(path)
        self._reap_unrecorded()
        self._finish_one()

    def _reap_one(self, name: str, path: str) -> None:
        lock = try_lock(path)
        if lock is None:
            return
        try:
            remains = self._read_remains(name, lock)
        except (ValueError, TypeError, KeyError) as error:
            self._failed.append([name, f"its owner file cannot be read: {error}"])
            lock.release(unlink=False)
            return
        self._remove(name, remains, lambda: lock.release(unlink=False))

    def _remove(self, name: str, remains: Remains, on_failure: Callable[[], None]) -> None:
        self._open += 1

        def finished(problem: str | None) -> None:
            if problem is None:
                self._reaped.append(name)
            else:
                self._failed.append([name, problem])
                on_failure()
            self._finish_one()

        remains.kill()
        keep_workspace = remains.workspace is not None and read_ended(remains.workspace) is not None
        remains.remove(self._context.events, keep_workspace, remove_run_dir=True, done=finished)

    def _read_remains(self, name: str, lock: LockedFile) -> Remains:
        record = parse_record(lock)
        if record is None:
            return self._guess_remains(name, lock)
        if record.get("id") != name:
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

    def _guess_remains(self, name: str, lock: LockedFile | None) -> Remains:
        """After a power cut a record may be empty or missing; processes, groups and mounts are gone then, and the folders bear the name."""
        rooms = self._context.rooms
        workspace, run_dir = os.path.join(rooms.workspaces, name), os.path.join(rooms.run, name)
        return Remains(name, [], [], None, workspace, run_dir, lock, None)

    def _reap_unrecorded(self) -> None:
        """Folders of ours that are older than this boot and have no record and no ended workspace."""
        booted_at, rooms = _read_boot_time(), self._context.rooms
        for room in (rooms.workspaces, rooms.run):
            for name in os.listdir(room):
                folder = os.path.join(room, name)
                if not SANDBOX_ID.fullmatch(name) or os.path.lexists(os.path.join(rooms.owners, name)):
                    continue
                if _is_older(folder, booted_at) and read_ended(os.path.join(rooms.workspaces, name)) is None:
                    self._remove(name, self._guess_remains(name, None), lambda: None)

    def _finish_one(self) -> None:
        self._open -= 1
        if self._open == 0:
            sweep_workspaces(self._context)
            if self._context.pool is not None:
                self._context.pool.sweep()
            self._done(self._reaped, self._failed)


def _read_boot_time() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        return next(float(line.split()[1]) for line in file if line.startswith("btime "))


def _is_older(folder: str, moment: float) -> bool:
    try:
        return os.stat(folder, follow_symlinks=False).st_ctime < moment
    except FileNotFoundError:
        return False


def _is_inside(path: object, name: str) -> bool:
    return isinstance(path, str) and os.path.basename(path) == name and os.path.realpath(path).startswith("/sys/fs/cgroup/")


def _only(path: object, expected: str) -> str | None:
    """A record may name the folder that belongs to its sandbox and no other."""
    return expected if path == expected else None


def _remove_unfinished_record(path: str) -> None:
    """A creator that died before its record had its name has made nothing yet."""
    lock = try_lock(path)
    if lock is not None:
        lock.release(unlink=True)
