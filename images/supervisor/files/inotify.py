"""inotify through the C library."""

from __future__ import annotations

import errno
import os
from struct import Struct

from cpython import get_errno, load

from .contract import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MODIFY, IN_ATTRIB = 0x2, 0x4
IN_MOVED_FROM, IN_MOVED_TO = 0x40, 0x80
IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF = 0x100, 0x200, 0x400, 0x800
IN_Q_OVERFLOW, IN_IGNORED = 0x4000, 0x8000
IN_ONLYDIR, IN_ISDIR = 0x1000000, 0x40000000
CHANGES = IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
READ_BYTES = 1 << 16

_init = load("inotify_init1")
_add_watch = load("inotify_add_watch")
_remove_watch = load("inotify_rm_watch")
_event = Struct("iIII")


class Inotify:
    def __init__(self) -> None:
        self.fd: int = _init(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise make_error()

    def add(self, fd: int, mask: int) -> int:
        """Watches what an open descriptor refers to, whatever its path means by now."""
        watch: int = _add_watch(self.fd, b"/proc/self/fd/%d" % fd, mask)
        if watch < 0:
            raise make_error()
        return watch

    def remove(self, watch: int) -> None:
        _remove_watch(self.fd, watch)

    def read(self) -> Iterator[tuple[int, int, str]]:
        """Watch, mask and name of the events that are waiting."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return
        start = 0
        while start < len(data):
            watch, mask, _, length = _event.unpack_from(data, start)
            start += _event.size
            name = data[start : start + length].partition(b"\0")[0]
            start += length
            yield watch, mask, os.fsdecode(name)

    def close(self) -> None:
        os.close(self.fd)


def make_error() -> OSError:
    number = get_errno()
    # The kernel's word for too many watches is the one for a full disk.
    number = errno.EMFILE if number == errno.ENOSPC else number
    return OSError(number, os.strerror(number))
