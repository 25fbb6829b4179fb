"""One iterative walk over a tree on held folder descriptors; links are entries and are never followed."""

from __future__ import annotations

import errno
import os
import stat
from itertools import islice

from ..contract import TYPE_CHECKING
from .paths import COMMON, check_entry, open_child

if TYPE_CHECKING:
    from collections.abc import Generator

MAX_OPEN_FOLDERS = 128


class Found:
    """An entry met on a walk. `folder_fd` is open until the walk goes on."""

    __slots__ = ("path", "name", "folder_fd", "info")

    def __init__(self, path: str, name: str, folder_fd: int, info: os.stat_result) -> None:
        self.path = path
        self.name = name
        self.folder_fd = folder_fd
        self.info = info

    def open_file(self) -> int:
        """The regular file of that name; `busy` if it is something else by now."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | COMMON
        fd = os.open(self.name, flags, dir_fd=self.folder_fd)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise OSError(errno.EBUSY, "was replaced during the call", self.path)

    def read_link(self) -> bytes:
        return os.fsencode(os.readlink(self.name, dir_fd=self.folder_fd))


class Frame:
    __slots__ = ("fd", "prefix", "device", "entries")

    def __init__(self, fd: int, prefix: str, limit: int | None) -> None:
        self.fd = fd
        self.prefix = prefix
        self.device = os.fstat(fd).st_dev
        with os.scandir(fd) as scan:
            found = list(islice(scan, limit))
        found.sort(key=lambda entry: os.fsencode(entry.name), reverse=True)
        self.entries = found


def walk(
    root_fd: int,
    max_depth: int | None = None,
    limit: int | None = None,
    skips_unreadable: bool = False,
) -> Generator[Found, None, None]:
    """Parents first, names of a folder in byte order. At most `limit` names of each folder are looked at.

    Other file systems are entered unless they are procfs or sysfs. The caller keeps `root_fd`.
    """
    stack = [Frame(os.dup(root_fd), "", limit)]
    try:
        while stack:
            frame = stack[-1]
            if not frame.entries:
                os.close(stack.pop().fd)
                continue
            name = frame.entries[-1].name
            try:
                info = frame.entries.pop().stat(follow_symlinks=False)
            except OSError as error:
                if is_passable(error, skips_unreadable):
                    continue
                raise OSError(error.errno, error.strerror, frame.prefix + name) from error
            path = frame.prefix + name
            yield Found(path, name, frame.fd, info)
            if stat.S_ISDIR(info.st_mode) and (max_depth is None or len(stack) < max_depth):
                child = enter(frame, name, info, len(stack), skips_unreadable)
                if child is not None:
                    stack.append(Frame(child, path + "/", limit))
    finally:
        for frame in stack:
            os.close(frame.fd)


def enter(frame: Frame, name: str, info: os.stat_result, depth: int, skips_unreadable: bool) -> int | None:
    if depth >= MAX_OPEN_FOLDERS:
        raise OSError(errno.ENAMETOOLONG, "too deep", frame.prefix + name)
    try:
        if not check_entry(info, frame.device, name, frame.fd):
            return None
        return open_child(name, frame.fd)
    except OSError as error:
        if is_passable(error, skips_unreadable):
            return None
        raise OSError(error.errno, error.strerror, frame.prefix + name) from error


def is_passable(error: OSError, skips_unreadable: bool) -> bool:
    """Whether an entry is left out: it is gone or replaced since it was listed, or locked."""
    is_gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    return is_gone or (skips_unreadable and error.errno == errno.EACCES)
