"""Host uids: one per living sandbox, and one that stays reserved per ended workspace."""

import errno
import os
import random
import time

from owners.locks import LockedFile, try_lock

_SCAN_LIFETIME_SECONDS = 1.0
_NO_FILE = (errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO)


class PoolExhausted(Exception):
    """No uid of the pool is free."""


class UidPool:
    """A uid belongs to whoever holds the lock on its file. A file that names a sandbox reserves it as long as that one
    has a record or a workspace."""

    def __init__(self, folder: str, workspaces: str, owners: str, first: int, last: int) -> None:
        self._folder = folder
        self._owners = owners
        self._workspaces = workspaces
        self._first = first
        self._last = last
        # A random start keeps uids from being used again soon, in this process and in others.
        self._next = random.randint(first, last)
        self._in_use: set[int] = set()
        self._scanned_at = float("-inf")

    def allocate(self) -> tuple[int, LockedFile]:
        self._scan_processes()
        for _ in range(self._last - self._first + 1):
            uid = self._next
            self._next = uid + 1 if uid < self._last else self._first
            if uid in self._in_use:
                continue
            lock = _try_lock(self.lock_path(uid), create=True)
            if lock is None:
                continue
            if not self._is_reserved(lock):
                return uid, lock
            lock.release(unlink=False)
        raise PoolExhausted(f"all uids from {self._first} to {self._last} are in use or reserved")

    def lock_path(self, uid: int) -> str:
        return os.path.join(self._folder, f"{uid}.lock")

    def owns(self, uid: int) -> bool:
        return self._first <= uid <= self._last

    def sweep(self) -> None:
        """Removes lock files that nobody holds and no workspace needs."""
        for name in os.listdir(self._folder):
            lock = _try_lock(os.path.join(self._folder, name))
            if lock is not None:
                lock.release(unlink=not self._is_reserved(lock))

    def _is_reserved(self, lock: LockedFile) -> bool:
        sandbox = lock.read().decode(errors="replace")
        return sandbox != "" and any(
            os.path.lexists(os.path.join(room, sandbox)) for room in (self._workspaces, self._owners)
        )

    def _scan_processes(self) -> None:
        """Defence in depth: a uid with a living process is not given out even if its lock is free."""
        now = time.monotonic()
        if now - self._scanned_at < _SCAN_LIFETIME_SECONDS:
            return
        self._scanned_at = now
        self._in_use = {uid for _, uid in list_processes() if self.owns(uid)}


def _try_lock(path: str, create: bool = False) -> LockedFile | None:
    """A name that is no file locks nothing."""
    try:
        return try_lock(path, create)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None


def list_processes() -> list[tuple[int, int]]:
    """Process ids and their owners."""
    found: list[tuple[int, int]] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.append((int(name), os.stat(f"/proc/{name}").st_uid))
            except OSError:
                continue
    return found


def count_tasks(uid: int) -> int:
    """Threads of all processes of a user: what RLIMIT_NPROC counts."""
    tasks = 0
    for pid, owner in list_processes():
        if owner == uid:
            try:
                tasks += os.stat(f"/proc/{pid}/task").st_nlink - 2
            except OSError:
                continue
    return tasks
