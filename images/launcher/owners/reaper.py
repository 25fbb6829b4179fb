"""Removes what dead owners left. A free lock proves that the owner is dead; what has no record of ours is never
touched."""

import json
import os
from collections.abc import Callable

from containers import engine
from containers.container import Container, seconds_since_boot
from containers.owned_container import remove_container
from context import Context
from jobs import Answer, run_in_child
from owners.evidence import same_process
from owners.footprint import Footprint, is_running
from owners.locks import LockedFile, parse_record, try_lock
from owners.records import UNREADABLE, guess_footprint, read_footprint
from owners.retention import SANDBOX_ID, read_ended, sweep_workspaces
from workspaces.volumes import VOLUME_ID

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
                self._reap_one(name, path, may_wait=True)
            elif name.startswith(".new-") or self._lacks_volume(name):
                _remove_unfinished_record(path)
        self._reap_unrecorded()
        self._finish_one()

    def _lacks_volume(self, name: str) -> bool:
        """A volume's lock goes last. While it is being made its maker holds the lock."""
        return VOLUME_ID.fullmatch(name) is not None and not os.path.lexists(
            os.path.join(self._context.rooms.workspaces, name)
        )

    def _reap_one(self, name: str, path: str, may_wait: bool) -> None:
        lock = None
        try:
            lock = try_lock(path)
            if lock is None:
                return
            if self._is_copy(lock):
                lock.release(unlink=False)
                return
            footprint = read_footprint(self._context, name, lock)
        except UNREADABLE as error:
            self._failed.append([name, f"its owner file cannot be read: {error}"])
            if lock is not None:
                lock.release(unlink=False)
            return
        container = footprint.container
        if container is None:
            self._remove(name, footprint)
        elif may_wait and container.is_adoptable and self._spare(name, path, lock, footprint, container):
            footprint.release_locks()
        else:
            self._remove_container(name, footprint)

    def _is_copy(self, lock: LockedFile) -> bool:
        """Whoever wrote the record lives and does not hold its lock: the data folder was copied, or that one is just
        leaving."""
        launcher = (parse_record(lock) or {}).get("launcher")
        if not isinstance(launcher, dict):
            return False
        pid, start = int(launcher["pid"]), int(launcher["start"])
        return pid != self._context.pid and is_running(pid, start)

    def _spare(self, name: str, path: str, lock: LockedFile, footprint: Footprint, container: Container) -> bool:
        """An adoptable container that runs waits for its next owner, from the first sweep that misses the old one until
        its grace is over."""
        if container.orphaned_at is None:
            record = parse_record(lock) or {}
            container.orphaned_at = seconds_since_boot()
            lock.rewrite(json.dumps({**record, "container": container.to_record()}).encode())
        if container.grace_is_over:
            return False
        if footprint.processes:
            return any(same_process(pid, start) for pid, start in footprint.processes)
        if container.socket is not None:
            self._ask_engine(name, path, container.socket, container)
        return True

    def _ask_engine(self, name: str, path: str, socket: str, container: Container) -> None:
        """For containers whose processes this machine does not see. The lock is free meanwhile, so that an adopter may
        come first."""
        self._open += 1

        def answered(answer: Answer) -> None:
            if answer.get("state") in ("gone", "stopped"):
                self._reap_one(name, path, may_wait=False)
            self._finish_one()

        run_in_child(
            self._context.events,
            lambda: dict(engine.look_at_container(socket, container.id or container.name)),
            answered,
        )

    def _remove_container(self, name: str, footprint: Footprint) -> None:
        self._open += 1

        def removed() -> None:
            self._remove(name, footprint)
            self._finish_one()

        def failed(problem: str) -> None:
            self._failed.append([name, problem])
            footprint.release_locks()
            self._finish_one()

        remove_container(self._context, footprint, removed, failed)

    def _remove(self, name: str, footprint: Footprint) -> None:
        self._open += 1

        def finished(problem: str | None) -> None:
            if problem is None:
                self._reaped.append(name)
            else:
                self._failed.append([name, problem])
                footprint.release_locks()
            self._finish_one()

        footprint.owner_is_gone = True
        footprint.kill()
        keep_workspace = footprint.workspace is not None and read_ended(footprint.workspace) is not None
        footprint.remove(self._context, keep_workspace, finished)

    def _reap_unrecorded(self) -> None:
        """Folders of ours that are older than this boot and have no record and no ended workspace."""
        booted_at, rooms = _read_boot_time(), self._context.rooms
        for room in (rooms.workspaces, rooms.run):
            for name in os.listdir(room):
                folder = os.path.join(room, name)
                if not SANDBOX_ID.fullmatch(name) or os.path.lexists(os.path.join(rooms.owners, name)):
                    continue
                if _is_older(folder, booted_at) and read_ended(os.path.join(rooms.workspaces, name)) is None:
                    self._remove(name, guess_footprint(self._context, name, None))

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


def _remove_unfinished_record(path: str) -> None:
    """A creator that died before its record had its name has made nothing yet."""
    try:
        lock = try_lock(path)
    except OSError:
        return
    if lock is not None:
        lock.release(unlink=True)
