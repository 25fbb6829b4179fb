"""`read`: a range of a regular file as data frames."""

from __future__ import annotations

import os

from .access.paths import locate, open_regular
from .contract import DRAIN, STEP, TYPE_CHECKING
from .digest import make_hash

if TYPE_CHECKING:
    from channel.calls import Call

    from .contract import Request, Steps

CHUNK_BYTES = 1 << 18


def run_read(call: Call, request: Request) -> Steps:
    fd = open_regular(locate(call, request["path"]), os.O_RDONLY)
    try:
        info = os.fstat(fd)
        call.send_event({"op": "meta", "size": info.st_size, "mode": info.st_mode & 0o7777})
        offset: int = request["offset"]
        # The end is fixed here: a file that grows faster than it is read would never end.
        rest = max(0, info.st_size - offset)
        if request["length"] is not None:
            rest = min(rest, request["length"])
        return (yield from send_range(call, fd, offset, rest))
    finally:
        os.close(fd)


def send_range(call: Call, fd: int, offset: int, length: int) -> Steps:
    digest = make_hash(length)
    end = offset + length
    position = offset
    while position < end:
        chunk = os.pread(fd, min(CHUNK_BYTES, end - position), position)
        if not chunk:
            break
        digest.update(chunk)
        call.send_data(chunk)
        position += len(chunk)
        if position < end:
            yield DRAIN if call.full else STEP
    return {"bytes": position - offset, "sha256": digest.hexdigest()}
