"""Where a path of a request leads, and the only ways in which it is opened.

Paths are relative to the workspace or absolute; an absolute path below the workspace is a workspace path. `.` and
empty names on the way are dropped, `..` is refused: what it means would depend on links.
"""

from __future__ import annotations

import errno
import os
import stat

from ..contract import TYPE_CHECKING, OpError
from ..errors import describe, fail
from .names import show, unescape
from .openat2 import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    is_kernel_tree,
    openat2,
)

if TYPE_CHECKING:
    from channel.calls import Call

COMMON = os.O_CLOEXEC | os.O_NOCTTY
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | COMMON
ANCHOR_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
ENTRY_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
CHILD_FLAGS = ENTRY_FLAGS | os.O_DIRECTORY

_anchors: dict[bytes, int] = {}
_has_openat2 = True


class Place:
    """A path below a held folder: the workspace (`root` is its names) or `/` (`root` is None)."""

    __slots__ = ("base_fd", "path", "root", "text", "last")

    def __init__(self, base_fd: int, path: bytes, root: list[bytes] | None, last: bytes) -> None:
        self.base_fd = base_fd
        self.path = path or b"."
        self.root = root
        self.last = last
        shown = show(self.path)
        if root is None:
            shown = "/" if shown == "." else "/" + shown
        self.text = shown

    def at(self, path: bytes) -> Place:
        return Place(self.base_fd, path, self.root, self.last)


def open_child(name: str | bytes, parent_fd: int) -> int:
    """A folder by its name, to be read; a link is `ENOTDIR`.

    In two steps: gVisor follows a link when it is opened with O_DIRECTORY and O_NOFOLLOW, unless O_PATH is among them.
    """
    held = os.open(name, CHILD_FLAGS, dir_fd=parent_fd)
    try:
        return os.open(".", FOLDER_FLAGS, dir_fd=held)
    finally:
        os.close(held)


def anchor(path: bytes) -> int:
    fd = _anchors.get(path)
    if fd is None:
        fd = _anchors[path] = os.open(path, ANCHOR_FLAGS)
    return fd


def locate(call: Call, text: str) -> Place:
    raw = encode(text)
    root = split(os.fsencode(call.workspace))
    names = split(raw)
    last = raw.rpartition(b"/")[2]
    if not raw.startswith(b"/"):
        place = Place(anchor(os.fsencode(call.workspace)), b"/".join(names), root, last)
    elif names[: len(root)] == root:
        rest = b"/".join(names[len(root) :])
        place = Place(anchor(os.fsencode(call.workspace)), rest, root, last if rest else b"")
    else:
        place = Place(anchor(b"/"), b"/".join(names), None, last)
    return place if b"%" not in raw else choose_spelling(place)


def encode(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise OpError("invalid", "the path is not text") from None
    if not raw or b"\0" in raw:
        raise OpError("invalid", "the path is empty or has a NUL")
    return raw


def split(raw: bytes) -> list[bytes]:
    names = [name for name in raw.split(b"/") if name not in (b"", b".")]
    if b".." in names:
        raise fail("invalid", show(raw), "has ..")
    return names


def choose_spelling(place: Place) -> Place:
    """`a%FF` is the entry of that name if there is one, otherwise the one whose name is reported so."""
    chosen: list[bytes] = []
    for name in place.path.split(b"/"):
        other = unescape(name)
        is_other = (
            other != name
            and not exists(place.at(b"/".join([*chosen, name])))
            and exists(place.at(b"/".join([*chosen, other])))
        )
        chosen.append(other if is_other else name)
    return place.at(b"/".join(chosen))


def exists(place: Place) -> bool:
    try:
        os.close(open_any(place, ENTRY_FLAGS))
    except OpError:
        return False
    return True


def open_any(place: Place, flags: int, mode: int = 0) -> int:
    try:
        fd = open_raw(place, flags | os.O_CLOEXEC, mode)
    except OSError as error:
        raise describe(error, place.text) from error
    if is_kernel_tree(fd):
        os.close(fd)
        raise fail("refused", place.text, "lies in procfs or sysfs")
    return fd


def open_raw(place: Place, flags: int, mode: int) -> int:
    global _has_openat2
    if not _has_openat2:
        return open_by_names(place, flags, mode)
    beneath = RESOLVE_BENEATH if place.root is not None else 0
    try:
        return openat2(place.base_fd, place.path, flags, mode, RESOLVE_NO_MAGICLINKS | beneath)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            _has_openat2 = False
        # EXDEV: a link that leaves, or an absolute one that may lead back in.
        elif error.errno != errno.EXDEV or place.root is None:
            raise
    return open_by_names(place, flags, mode)


def open_by_names(place: Place, flags: int, mode: int) -> int:
    from .resolve import resolve

    is_followed = not flags & (os.O_NOFOLLOW | os.O_EXCL)
    parent_fd, name = resolve(place.base_fd, place.path, place.root, is_followed)
    try:
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)


def open_folder(place: Place) -> int:
    return open_any(place, FOLDER_FLAGS)


def open_regular(place: Place, flags: int, mode: int = 0) -> int:
    fd = open_any(place, flags | os.O_NONBLOCK | COMMON, mode)
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        return fd
    os.close(fd)
    if stat.S_ISDIR(kind):
        raise fail("is_a_directory", place.text, "is a folder")
    raise fail("not_a_file", place.text, "not a regular file")


def open_parent(place: Place) -> tuple[int, bytes]:
    """The open parent folder and the last name, for the calls that create, rename and remove."""
    if place.path == b"." or place.last in (b"", b"."):
        raise fail("invalid", place.text, "does not end in a name")
    parent, _, name = place.path.rpartition(b"/")
    return open_any(place.at(parent), ANCHOR_FLAGS), name


def check_entry(info: os.stat_result, parent_device: int, name: str, dir_fd: int) -> bool:
    """Whether a folder met on a walk may be entered: another file system may be procfs or sysfs."""
    if info.st_dev == parent_device:
        return True
    fd = os.open(name, ENTRY_FLAGS, dir_fd=dir_fd)
    try:
        return not is_kernel_tree(fd)
    finally:
        os.close(fd)
