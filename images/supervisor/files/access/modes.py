"""Folders that their owner locked: opened by giving the owner's rights back, without following a link."""

from __future__ import annotations

import errno
import os

from cpython import Long, load

from .paths import ENTRY_FLAGS, open_child

FCHMODAT2 = Long(452)
AT_EMPTY_PATH = 0x1000
OWNER_ALL = 0o700

_syscall = load("syscall")


def open_own_folder(parent_fd: int, name: str, device: int) -> int:
    """The folder, readable and writable by its owner; one on another file system is refused."""
    try:
        fd = open_child(name, parent_fd)
    except PermissionError:
        unlock(parent_fd, name)
        fd = open_child(name, parent_fd)
    info = os.fstat(fd)
    if info.st_dev != device:
        os.close(fd)
        raise OSError(errno.EXDEV, "another file system")
    if info.st_mode & OWNER_ALL != OWNER_ALL and info.st_uid == os.geteuid():
        os.fchmod(fd, OWNER_ALL)
    return fd


def unlock(parent_fd: int, name: str) -> None:
    fd = os.open(name, ENTRY_FLAGS | os.O_DIRECTORY, dir_fd=parent_fd)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise PermissionError(errno.EACCES, "not the owner")
        if _syscall(FCHMODAT2, fd, b"", OWNER_ALL, AT_EMPTY_PATH) < 0:
            # Kernels before 6.6 have no fchmodat2; the link of an own descriptor leads to the same inode.
            os.chmod(f"/proc/self/fd/{fd}", OWNER_ALL)
    finally:
        os.close(fd)
