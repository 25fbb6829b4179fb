"""What a sandbox has made on the host, and how all of it goes away again: for living sandboxes and for dead owners'
alike."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import groups
from containers.container import Container
from context import Context
from events import Events
from owners.evidence import same_process
from owners.locks import LockedFile
from owners.uids import list_processes
from workspaces import images
from workspaces.trees import remove_tree

_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS = 0.001, 0.05
_FLUSH_SECONDS = 60.0
"""A workspace that goes on existing has to reach the disk before its device is free."""
_STALE_MOUNT_SECONDS = 1.0
"""An engine that has removed a container has unmounted its volume by then."""

Done = Callable[[str | None], None]
"""Called once, with what could not be removed or None."""


@dataclass
class Footprint:
    id: str
    group_paths: list[str]
    """The group that has `cgroup.kill` first."""
    processes: list[tuple[int, int]]
    """Pids and start times, for hosts without groups."""
    uid: int | None
    """A pool uid that nobody else runs under; None when the uid is shared with other work."""
    workspace: str | None
    run_dir: str | None
    record: LockedFile | None
    uid_lock: LockedFile | None
    other_locks: list[LockedFile] = field(default_factory=list)
    container: Container | None = None
    image: str | None = None
    """The image that the container's engine, or a writer of an older workspace, mounts and nobody else does."""
    owner_is_gone: bool = False
    """The run folder is the owner's while it lives, and goes with everything else after it."""

    def kill(self) -> None:
        if self.group_paths:
            groups.kill_members(self.group_paths)
        for pid in self._living():
            _kill_pid(pid, self.uid, self.processes)
            if self.container is not None:
                self.container.kill_member(pid)

    def is_empty(self) -> bool:
        return not groups.list_members(self.group_paths) and not self._living()

    def patience(self, context: Context) -> float:
        """How many seconds a removal is tried."""
        return _FLUSH_SECONDS if self.other_locks else context.removal_seconds

    def remove(self, context: Context, keep_workspace: bool, done: Done) -> None:
        """Removes everything once nothing of it lives, trying again while the kernel lets go. A container has to be
        removed by its engine before."""
        started, patience, events = time.monotonic(), self.patience(context), context.events

        def attempt(delay: float) -> None:
            try:
                if self._remove_kernel_objects():
                    self._remove_files(events, keep_workspace, done)
                    return
                problem = "its processes, groups or loop device are still there"
            except OSError as error:
                problem = str(error)
            if time.monotonic() - started > patience:
                done(problem)
                return
            self.kill()
            if self.image is not None and time.monotonic() - started > _STALE_MOUNT_SECONDS:
                images.unmount_workspaces(self.image)
            events.later(delay, lambda: attempt(min(delay * 2, _RETRY_MAX_SECONDS)))

        attempt(_RETRY_FIRST_SECONDS)

    def _living(self) -> list[int]:
        if self.group_paths:
            return []
        found = [pid for pid, start in self.processes if is_running(pid, start)]
        if self.container is not None:
            found += [pid for pid in groups.list_members(self.container.cgroups) if not _is_zombie(pid)]
        if self.uid is not None:
            found += [pid for pid, uid in list_processes() if uid == self.uid and not _is_zombie(pid)]
        return found

    def _remove_kernel_objects(self) -> bool:
        """False while something lives or is attached. The groups of a container are its engine's to remove."""
        if not self.is_empty():
            return False
        removed = groups.remove_groups(self.group_paths)
        attached = [self.image] if self.image is not None else []
        if self.workspace is not None:
            attached.append(images.image_path(self.workspace))
        return removed and not any(images.is_attached(image) for image in attached)

    def _remove_files(self, events: Events, keep_workspace: bool, done: Done) -> None:
        if self.owner_is_gone and self.run_dir is not None:
            remove_tree(self._run_folder(self.run_dir))
        keep = keep_workspace and self.workspace is not None and os.path.isdir(self.workspace)
        if keep:
            self._mark_ended()
        elif self.workspace is not None:
            remove_workspace(events, self.workspace, lambda problem: self._release(False, problem, done))
            return
        self._release(keep, None, done)

    def _run_folder(self, socket_dir: str) -> str:
        """The folder that bears the sandbox's name: that of the socket, or the one around it, where its owner kept
        more."""
        parent = os.path.dirname(socket_dir)
        return parent if os.path.basename(parent) == self.id else socket_dir

    def _mark_ended(self) -> None:
        assert self.workspace is not None
        path = os.path.join(self.workspace, "owner.json")
        with open(path, encoding="utf-8") as file:
            owner = json.load(file)
        owner["ended"] = time.time()
        _replace_file(path, json.dumps(owner))

    def release_locks(self) -> None:
        """Leaves everything as it is, for the next owner or a reaper. The uid stays reserved for what the record
        names."""
        if self.uid_lock is not None:
            self.uid_lock.write(self.id.encode())
        for lock in [*self.other_locks, *(lock for lock in (self.uid_lock, self.record) if lock is not None)]:
            lock.release(unlink=False)

    def _release(self, keep: bool, problem: str | None, done: Done) -> None:
        for lock in self.other_locks:
            lock.release(unlink=False)
        if problem is None:
            if self.uid_lock is not None:
                self.uid_lock.write(self.id.encode() if keep else b"")
                self.uid_lock.release(unlink=not keep)
            if self.record is not None:
                self.record.release(unlink=True)
        done(problem)


def remove_workspace(events: Events, folder: str, done: Done) -> None:
    """An image goes with one unlink; a tree of unknown size goes in a child so that the launcher stays awake."""

    def finish() -> None:
        done(f"{folder} could not be removed" if os.path.lexists(folder) else None)

    if not os.path.isdir(os.path.join(folder, "tree")):
        remove_tree(folder)
        finish()
        return
    pid = os.fork()
    if pid == 0:
        try:
            remove_tree(folder)
        finally:
            os._exit(0)
    events.watch_child(pid, lambda _status: finish())


def _replace_file(path: str, text: str) -> None:
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(f"{path}.new", path)


def is_running(pid: int, start: int) -> bool:
    return same_process(pid, start) and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in ("Z", "X")
    except (OSError, IndexError):
        return True


def _kill_pid(pid: int, uid: int | None, processes: list[tuple[int, int]]) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        ours = any(known == pid and same_process(pid, start) for known, start in processes)
        if ours or (uid is not None and os.stat(f"/proc/{pid}").st_uid == uid):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(pidfd)
