"""`write`: data frames into a regular file, in place."""

from __future__ import annotations

import errno
import os

from .access.paths import Place, locate, open_regular
from .contract import FRAME, STEP, TYPE_CHECKING, OpError
from .digest import StreamHash
from .errors import CODES, fail
from .folders import make_parents

if TYPE_CHECKING:
    from channel.calls import Call

    from .contract import Request, Steps

DEFAULT_MODE = 0o644

# Files that a call is writing: a second writer is `busy`, so that no file is a mix of two.
_writing: set[tuple[int, int]] = set()


def run_write(call: Call, request: Request) -> Steps:
    if request["append"] and request["offset"] is not None:
        raise OpError("invalid", "append and offset exclude each other")
    place = locate(call, request["path"])
    if place.path == b"." or place.last in (b"", b"."):
        raise fail("invalid", place.text, "does not end in a name")
    if request["parents"]:
        make_parents(place)
    fd, is_created = open_target(place, request)
    try:
        info = os.fstat(fd)
        identity = (info.st_dev, info.st_ino)
        if identity in _writing:
            raise fail("busy", place.text, "is being written by another call")
        _writing.add(identity)
        try:
            set_position(fd, request)
            fields = yield from receive(fd, place)
        finally:
            _writing.discard(identity)
        return {**fields, "created": is_created}
    finally:
        os.close(fd)


def open_target(place: Place, request: Request) -> tuple[int, bool]:
    """The open file, and whether this call created it. `mode` counts only for a new file."""
    flags = os.O_WRONLY | (os.O_APPEND if request["append"] else 0)
    if not request["exclusive"]:
        try:
            return open_regular(place, flags), False
        except OpError as error:
            if error.code != "not_found":
                raise
    mode = (DEFAULT_MODE if request.get("mode") is None else request["mode"]) & 0o777
    try:
        fd = open_regular(place, flags | os.O_CREAT | os.O_EXCL, mode)
    except OpError as error:
        # The name appeared in between, or is a link to a file that does not exist yet.
        if error.code != "exists" or request["exclusive"]:
            raise
        fd = open_regular(place, flags | os.O_CREAT, mode)
    os.fchmod(fd, mode)
    return fd, True


def set_position(fd: int, request: Request) -> None:
    if request["offset"] is not None:
        os.lseek(fd, request["offset"], os.SEEK_SET)
    elif not request["append"]:
        os.ftruncate(fd, 0)


def receive(fd: int, place: Place) -> Steps:
    digest = StreamHash()
    written = 0
    while (frame := (yield FRAME)) is not None:
        if isinstance(frame, dict):
            raise OpError("invalid", f"stopped after {written} bytes")
        digest.update(frame)
        try:
            write_all(fd, frame)
        except OSError as error:
            reason = f"{os.strerror(error.errno or errno.EIO)} after {written} bytes"
            raise fail(CODES.get(error.errno or 0, "io_error"), place.text, reason) from error
        written += len(frame)
        yield STEP
    return {"bytes": written, "sha256": digest.hexdigest()}


def write_all(fd: int, data: bytes) -> None:
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])
