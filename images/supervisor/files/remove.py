"""`remove`: one entry, or a tree from its leaves up, never through a link."""

from __future__ import annotations

import errno
import os
import stat
from itertools import islice

from .access.modes import open_own_folder
from .access.paths import locate, open_parent
from .contract import STEP, TYPE_CHECKING
from .errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from channel.calls import Call

    from .contract import Request, Steps

STEP_ENTRIES = 64
BATCH_NAMES = 4096
# Folders below this depth are first moved up to the top of the tree that is being removed, so that any depth
# takes a bounded number of descriptors.
MAX_OPEN_FOLDERS = 32


def run_remove(call: Call, request: Request) -> Steps:
    place = locate(call, request["path"])
    parent_fd, name = open_parent(place)
    count = 0
    try:
        for _ in remove_entry(parent_fd, os.fsdecode(name), request["recursive"]):
            count += 1
            if count % STEP_ENTRIES == 0:
                yield STEP
    except OSError as error:
        raise describe(error, f"{place.text} ({count} removed)" if count else place.text) from error
    finally:
        os.close(parent_fd)
    return {"removed": count}


def remove_entry(parent_fd: int, name: str, is_recursive: bool) -> Iterator[None]:
    info = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(name, dir_fd=parent_fd)
    else:
        if is_recursive:
            yield from empty_folder(parent_fd, name, info)
        os.rmdir(name, dir_fd=parent_fd)
    yield


class Frame:
    """A folder being emptied. Its names are taken in batches; a short batch is the last."""

    __slots__ = ("fd", "name", "entries", "is_listed")

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.entries: list[tuple[str, bool]] = []
        self.is_listed = False

    def take(self) -> tuple[str, bool] | None:
        if not self.entries and not self.is_listed:
            with os.scandir(self.fd) as scan:
                batch = islice(scan, BATCH_NAMES)
                self.entries = [(e.name, e.is_dir(follow_symlinks=False)) for e in batch]
            self.is_listed = len(self.entries) < BATCH_NAMES
        return self.entries.pop() if self.entries else None


def empty_folder(parent_fd: int, name: str, info: os.stat_result) -> Iterator[None]:
    stack = [Frame(open_own_folder(parent_fd, name, info.st_dev), name)]
    try:
        while True:
            frame = stack[-1]
            entry = frame.take()
            if entry is not None:
                yield from remove_child(stack, entry, info.st_dev)
                continue
            if len(stack) == 1:
                return
            os.close(stack.pop().fd)
            try:
                os.rmdir(frame.name, dir_fd=stack[-1].fd)
            except FileNotFoundError:
                continue
            yield
    finally:
        for frame in stack:
            os.close(frame.fd)


def remove_child(stack: list[Frame], entry: tuple[str, bool], device: int) -> Iterator[None]:
    name, is_folder = entry
    frame = stack[-1]
    try:
        if not is_folder:
            os.unlink(name, dir_fd=frame.fd)
            yield
            return
        fd = open_own_folder(frame.fd, name, device)
    except OSError as error:
        # Gone, or replaced by another kind of entry since it was listed: then that is what is removed.
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
            frame.entries.append((name, not is_folder))
        elif error.errno != errno.ENOENT:
            raise
        return
    if len(stack) < MAX_OPEN_FOLDERS:
        stack.append(Frame(fd, name))
    else:
        os.close(fd)
        lift(stack[0], frame, name)


def lift(top: Frame, frame: Frame, name: str) -> None:
    """Moves a folder to the top of the tree that is being removed, under a name nobody else has there."""
    unique = f".paddock-remove-{os.urandom(12).hex()}"
    os.rename(name, unique, src_dir_fd=frame.fd, dst_dir_fd=top.fd)
    top.entries.append((unique, True))
