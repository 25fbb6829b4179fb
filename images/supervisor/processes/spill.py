"""The file in the workspace that takes a long stream. A link that a guest planted is never followed."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from channel.calls import Fields

FOLDERS = (".paddock", "out")


class Spill:
    __slots__ = ("_fd", "_hash", "_limit", "path", "bytes")

    def __init__(self, fd: int, path: str, limit: int) -> None:
        import hashlib

        self._fd = fd
        self._hash = hashlib.sha256()
        self._limit = limit
        self.path = path
        self.bytes = 0
        """How much of the stream's beginning the file holds."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Takes what fits. After the first failure (a full disk) the file ends there."""
        rest = memoryview(chunk)[: self._limit - self.bytes]
        try:
            while rest and self._fd >= 0:
                written = os.write(self._fd, rest)
                self._hash.update(rest[:written])
                self.bytes += written
                rest = rest[written:]
        except OSError:
            self.close()
            return
        if self.bytes == self._limit:
            self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def report(self) -> Fields:
        return {"path": self.path, "bytes": self.bytes, "sha256": self._hash.hexdigest()}


def open_spill(workspace: str, name: str, limit: int) -> Spill | None:
    """None when the file cannot be made; its stream is then bounded by memory alone."""
    folder = -1
    try:
        folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for component in FOLDERS:
            inner = _open_folder(component, folder)
            os.close(folder)
            folder = inner
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, 0o644, dir_fd=folder)
    except OSError:
        return None
    finally:
        if folder >= 0:
            os.close(folder)
    return Spill(fd, "/".join((*FOLDERS, name)), limit)


def _open_folder(name: str, parent: int) -> int:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        pass
    # With O_PATH: without it gVisor follows a link all the same.
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
