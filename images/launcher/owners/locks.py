"""Files whose `flock` proves a living owner."""

import errno
import fcntl
import json
import os
import stat
from typing import Any

_DRAFT_ATTEMPTS = 20


class LockedFile:
    """An open, locked file. Closing it (also by dying) gives the lock back."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def read(self) -> bytes:
        return os.pread(self._fd, 1 << 20, 0)

    def write(self, data: bytes) -> None:
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def rewrite(self, data: bytes) -> None:
        """For JSON: blanks fill up what the old text was longer, so that no kill between two calls leaves a mixture."""
        os.pwrite(self._fd, data.ljust(os.fstat(self._fd).st_size), 0)

    def sync(self) -> None:
        """Content and name outlive a power cut."""
        os.fsync(self._fd)
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def fileno(self) -> int:
        return self._fd

    def rename(self, path: str) -> None:
        os.rename(self.path, path)
        self.path = path

    def release(self, unlink: bool) -> None:
        if self._fd < 0:
            return
        if unlink:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
        # A child that was forked meanwhile shares the open file, so closing alone would leave the lock with it.
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)
        self._fd = -1


def try_lock(path: str, create: bool = False, shared: bool = False) -> LockedFile | None:
    """Locks the file, or returns None: it is missing, held by a living process, or was removed meanwhile. Raises
    OSError for what is no file."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if create else 0)
    try:
        fd = os.open(path, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        ours, named = os.fstat(fd), os.stat(path, follow_symlinks=False)
        if not stat.S_ISREG(ours.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, f"{path} is no file")
        if ours.st_ino == named.st_ino:
            return LockedFile(path, fd)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def write_record(owners: str, record: dict[str, Any]) -> LockedFile:
    """The statement of everything that is about to be made, under a lock from its first moment under its name.

    It is not synced: it must outlive processes, not power. After a power cut the reaper goes by the names of the
    folders.
    """
    path = os.path.join(owners, str(record["id"]))
    lock = _lock_draft(os.path.join(owners, f".new-{record['id']}"))
    try:
        lock.write(json.dumps(record).encode())
        os.link(lock.path, path)
        os.unlink(lock.path)
        lock.path = path
    except OSError:
        lock.release(unlink=True)
        raise
    return lock


def _lock_draft(path: str) -> LockedFile:
    """A reaper may remove a draft in the moment before it is locked; the next attempt makes another one."""
    for _ in range(_DRAFT_ATTEMPTS):
        lock = try_lock(path, create=True)
        if lock is not None:
            return lock
    raise FileExistsError(f"{path} is held by another process")


def parse_record(lock: LockedFile) -> dict[str, Any] | None:
    return _parse(lock.read())


def read_unlocked(path: str) -> dict[str, Any] | None:
    """What the record says while somebody else may write to it; None for what cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return _parse(os.read(fd, 1 << 20))
    except OSError:
        return None
    finally:
        os.close(fd)


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
