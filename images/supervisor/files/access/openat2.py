"""The system calls behind `paths`: openat2, and what kind of file system a descriptor lies in."""

from __future__ import annotations

import errno
import os
import sys

from cpython import Long, get_errno, load

OPENAT2 = Long(437)  # the same number on x86_64 and aarch64
HOW_BYTES = Long(24)
STATFS_LONGS = 32
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
RACE_ATTEMPTS = 32
KERNEL_TREES = (0x9FA0, 0x62656572)  # procfs, sysfs

_syscall = load("syscall")
_fstatfs = load("fstatfs")
_statfs = (Long * STATFS_LONGS)()


def openat2(base_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    # struct open_how: three u64
    how = (flags | mode << 64 | resolve << 128).to_bytes(24, sys.byteorder)
    number = 0
    for _ in range(RACE_ATTEMPTS):
        fd: int = _syscall(OPENAT2, base_fd, path, how, HOW_BYTES)
        if fd >= 0:
            return fd
        number = get_errno()
        # The kernel saw a rename on the way and could not prove that the path stayed beneath.
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


def is_kernel_tree(fd: int) -> bool:
    """Whether the descriptor lies in procfs or sysfs. One that cannot be asked counts as such."""
    # struct statfs begins with the type
    return _fstatfs(fd, _statfs) < 0 or _statfs[0] in KERNEL_TREES
