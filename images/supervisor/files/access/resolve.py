"""Path resolution one name at a time, each opened without following links.

Used where the kernel has no openat2, and for absolute links in the workspace that lead back into it, which openat2
refuses under RESOLVE_BENEATH. Every descriptor on the way is held, so `..` in a link goes back to the folder it came
from.
"""

from __future__ import annotations

import errno
import os
import stat

from .openat2 import is_kernel_tree

MAX_LINKS = 40
MAX_DEPTH = 128
WALK_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Trail:
    """The folders from the base to the place reached so far."""

    def __init__(self, base_fd: int) -> None:
        self.fds = [os.dup(base_fd)]

    def enter(self, fd: int) -> None:
        self.fds.append(fd)
        if len(self.fds) > MAX_DEPTH:
            raise OSError(errno.ENAMETOOLONG, "too many folders")

    def leave(self, is_bounded: bool) -> None:
        if len(self.fds) > 1:
            os.close(self.fds.pop())
        elif is_bounded:
            raise OSError(errno.EXDEV, "leaves the base")

    def restart(self) -> None:
        while len(self.fds) > 1:
            os.close(self.fds.pop())

    def take_last(self) -> int:
        return self.fds.pop()

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())


def strip_root(target: bytes, root: list[bytes] | None) -> list[bytes]:
    """The names of an absolute link target below the base; `root` is None when the base is `/`."""
    names = [name for name in target.split(b"/") if name not in (b"", b".")]
    if root is None:
        return names
    if b".." in names or names[: len(root)] != root:
        raise OSError(errno.EXDEV, "leaves the workspace")
    return names[len(root) :]


def read_link(fd: int) -> bytes:
    if is_kernel_tree(fd):
        raise OSError(errno.ELOOP, "a link of the kernel's")
    return os.readlink(b"", dir_fd=fd)


def resolve(base_fd: int, path: bytes, root: list[bytes] | None, follow_last: bool) -> tuple[int, bytes]:
    """The open parent (the caller closes it) and the last name, which is `.` for the base itself."""
    trail = Trail(base_fd)
    try:
        name = walk(trail, path.split(b"/"), root, follow_last)
        return trail.take_last(), name
    finally:
        trail.close()


def walk(trail: Trail, names: list[bytes], root: list[bytes] | None, follow_last: bool) -> bytes:
    pending = names[::-1]
    links = 0
    while pending:
        name = pending.pop()
        if name == b"..":
            trail.leave(is_bounded=root is not None)
        if name in (b"", b".", b".."):
            continue
        try:
            fd = os.open(name, WALK_FLAGS, dir_fd=trail.fds[-1])
        except FileNotFoundError:
            if pending:
                raise
            return name
        is_link = stat.S_ISLNK(os.fstat(fd).st_mode)
        if not pending and not (is_link and follow_last):
            os.close(fd)
            return name
        if not is_link:
            trail.enter(fd)
            continue
        links += 1
        target = take_target(fd, links)
        if target.startswith(b"/"):
            trail.restart()
            pending += strip_root(target, root)[::-1]
        else:
            pending += target.split(b"/")[::-1]
    return b"."


def take_target(fd: int, links: int) -> bytes:
    try:
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, "too many links")
        return read_link(fd)
    finally:
        os.close(fd)
