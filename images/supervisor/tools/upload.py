"""A file of the workspace on its way out: measured first, then sent as exactly what was measured.

Run as `python3 -I -B upload.py`: a path as JSON on standard input, `{"bytes", "sha256"}` or `{"failure"}` on standard
output.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys

# `-I` leaves the program's own folder out; it is part of the read-only supervisor.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import route

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    from io import FileIO
    from typing import Any

CHUNK_BYTES = 256 * 1024


def main() -> int:
    path = json.load(sys.stdin.buffer)
    try:
        with open_regular(path) as file:
            answer = {
                "bytes": os.fstat(file.fileno()).st_size,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            }
    except (OSError, route.Failure) as error:
        message = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        print(json.dumps({"failure": message[:500]}))
        return route.EXIT_CODES["read"]
    print(json.dumps(answer))
    return 0


def open_regular(path: str) -> FileIO:
    """A FIFO would block, a device would never end."""
    file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise route.Failure("read", "not a regular file")
    return file


def send(connection: http.client.HTTPConnection, source: dict[str, Any]) -> None:
    """Sends exactly as many bytes as were announced. A server that answered early may have closed: its answer
    counts."""
    left = source["bytes"]
    with open_regular(source["path"]) as file:
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise route.Failure("read", f"{source['path']} became shorter while it was sent")
            left -= len(chunk)
            try:
                connection.send(chunk)
            except (BrokenPipeError, ConnectionResetError):
                return


if __name__ == "__main__":
    sys.exit(main())
