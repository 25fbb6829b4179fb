"""`tar_in`: creates what an archive holds, each name in a folder that was opened without following a link.

Files keep their permission bits and times, owners are ignored. What was created before a failure stays.
"""

from __future__ import annotations

import errno
import os
import stat

from ..access.names import show
from ..access.paths import COMMON, locate, open_child, open_folder
from ..contract import STEP, TYPE_CHECKING, OpError
from ..errors import describe, fail
from ..folders import FOLDER_MODE
from .entries import MAX_ENTRIES, Entry, read_entry, refuse
from .format import FILE, FOLDER, SYMLINK, pad_size
from .source import Source
from .withhold import Withheld

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from channel.calls import Call

    from ..contract import Request, Steps

STEP_ENTRIES = 16
STEP_BYTES = 1 << 20
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | COMMON


def run_tar_in(call: Call, request: Request) -> Steps:
    root_fd = open_folder(locate(call, request["path"]))
    target = Target(root_fd)
    source = Source()
    withheld = Withheld(request["withhold"], request["allow"], root_fd)
    any_link = request["links"] == "any" or request["withhold"] is not None
    count = 0
    try:
        while (entry := (yield from read_entry(source, any_link))) is not None:
            if withheld.takes(entry):
                yield from skip(entry, source)
                continue
            if count >= MAX_ENTRIES:
                raise refuse(entry.header.path, f"more than {MAX_ENTRIES} entries")
            try:
                yield from target.create(entry, source)
            except OSError as error:
                raise explain(error, entry) from error
            count += 1
            if count % STEP_ENTRIES == 0:
                yield STEP
        yield from target.finish_folders()
    except OpError as error:
        raise OpError(error.code, f"{error.message} (after {count} entries)") from error
    finally:
        target.close()
        os.close(root_fd)
    return {"entries": count, "bytes": target.bytes, "withheld": withheld.paths, "withheld_more": withheld.more}


def skip(entry: Entry, source: Source) -> Generator[Any, Any, None]:
    rest = entry.header.size + pad_size(entry.header.size)
    while rest:
        rest -= len((yield from source.take_some(min(rest, STEP_BYTES))))
        if rest:
            yield STEP


def explain(error: OSError, entry: Entry) -> OpError:
    """A link or a file where the archive needs a folder is the archive's fault, or someone's trap."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return refuse(entry.header.path, "something of another kind is in the way")
    return describe(error, show(entry.header.path))


class Target:
    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd
        self.bytes = 0
        self.folders: dict[tuple[bytes, ...], tuple[int, int]] = {}
        self.parent_names: list[bytes] | None = None
        self.parent_fd = -1

    def close(self) -> None:
        if self.parent_names is not None:
            os.close(self.parent_fd)
            self.parent_names = None

    def open_parent(self, names: list[bytes]) -> int:
        """The folder of an entry, created where it is missing. It stays open for the entries that follow."""
        if names != self.parent_names:
            fd = self.open_path(names, is_created=True)
            self.close()
            self.parent_names, self.parent_fd = names, fd
        return self.parent_fd

    def open_path(self, names: list[bytes], is_created: bool) -> int:
        fd = os.dup(self.root_fd)
        try:
            for name in names:
                try:
                    child = open_child(name, fd)
                except FileNotFoundError:
                    if not is_created:
                        raise
                    os.mkdir(name, FOLDER_MODE, dir_fd=fd)
                    child = open_child(name, fd)
                os.close(fd)
                fd = child
        except BaseException:
            os.close(fd)
            raise
        return fd

    def create(self, entry: Entry, source: Source) -> Generator[Any, Any, None]:
        if not entry.names:
            return
        kind = entry.header.kind
        name = entry.names[-1]
        parent_fd = self.open_parent(entry.names[:-1])
        if kind == FOLDER:
            self.create_folder(parent_fd, name, entry)
        elif kind == SYMLINK:
            self.create_symlink(parent_fd, name, entry)
        elif kind == FILE:
            yield from self.create_file(parent_fd, name, entry, source)
        else:
            self.create_hard_link(parent_fd, name, entry)

    def create_folder(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        try:
            os.mkdir(name, FOLDER_MODE, dir_fd=parent_fd)
        except FileExistsError:
            os.close(open_child(name, parent_fd))
        self.folders[tuple(entry.names)] = (entry.header.mode & 0o777, entry.header.mtime)

    def create_symlink(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        make_room(parent_fd, name, stat.S_IFLNK)
        os.symlink(entry.header.link, name, dir_fd=parent_fd)
        set_time(name, entry.header.mtime, dir_fd=parent_fd, follow_symlinks=False)

    def create_hard_link(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        missing = refuse(entry.header.path, "a hard link to something that is not a file here")
        try:
            source_fd = self.open_path(entry.link_names[:-1], is_created=False)
        except FileNotFoundError:
            raise missing from None
        source_name = entry.link_names[-1]
        try:
            if not is_kind(source_fd, source_name, stat.S_IFREG):
                raise missing
            if entry.link_names != entry.names:
                make_room(parent_fd, name, stat.S_IFREG)
                os.link(
                    source_name,
                    name,
                    src_dir_fd=source_fd,
                    dst_dir_fd=parent_fd,
                    follow_symlinks=False,
                )
        finally:
            os.close(source_fd)

    def create_file(self, parent_fd: int, name: bytes, entry: Entry, source: Source) -> Generator[Any, Any, None]:
        header = entry.header
        make_room(parent_fd, name, stat.S_IFREG)
        fd = os.open(name, CREATE_FLAGS, 0o600, dir_fd=parent_fd)
        try:
            rest = header.size
            while rest:
                part = yield from source.take_some(min(rest, STEP_BYTES))
                write_all(fd, part)
                rest -= len(part)
                self.bytes += len(part)
                if rest:
                    yield STEP
            os.fchmod(fd, header.mode & 0o777)
            set_time(fd, header.mtime)
        finally:
            os.close(fd)
        yield from source.take(pad_size(header.size))

    def finish_folders(self) -> Generator[Any, Any, None]:
        """Modes and times of folders come last, the deepest first: a folder may be read-only."""
        deepest_first = sorted(self.folders.items(), key=lambda item: -len(item[0]))
        for count, (names, (mode, mtime)) in enumerate(deepest_first):
            path = b"/".join(names)
            try:
                fd = self.open_path(list(names), is_created=False)
            except OSError as error:
                reason = f"changed during the call: {os.strerror(error.errno or errno.EIO)}"
                raise fail("archive_refused", show(path), reason) from error
            try:
                os.fchmod(fd, mode)
                set_time(fd, mtime)
            except OSError as error:
                raise describe(error, show(path)) from error
            finally:
                os.close(fd)
            if count % STEP_ENTRIES == 0:
                yield STEP


def is_kind(parent_fd: int, name: bytes, kind: int) -> bool:
    try:
        info = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_IFMT(info.st_mode) == kind


def make_room(parent_fd: int, name: bytes, kind: int) -> None:
    """Removes an entry of the same kind; one of another kind is left to fail the creation."""
    if is_kind(parent_fd, name, kind):
        os.unlink(name, dir_fd=parent_fd)


def set_time(target: int | bytes, mtime: int, **where: Any) -> None:
    os.utime(target, (mtime, mtime), **where)


def write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
