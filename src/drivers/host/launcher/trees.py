"""Removes folders that a guest filled, however deep or closed they are. Nothing of the guest lives any more, so nobody races with us."""

import os
import stat
import time

_BATCH = 10_000


def remove_tree(folder: str) -> None:
    """Moves every folder up to the top before emptying it, so neither recursion, descriptors nor path lengths grow with its depth."""
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _Removal(top).run()
    finally:
        os.close(top)
    os.rmdir(folder)


class _Removal:
    def __init__(self, top: int) -> None:
        self._top = top
        self._prefix = f".removing-{os.getpid()}-{time.monotonic_ns()}-"
        self._moved = 0

    def run(self) -> None:
        self._empty(self._top)
        number = 0
        while number < self._moved:
            self._remove_folder(f"{self._prefix}{number}")
            number += 1

    def _remove_folder(self, name: str) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._top)
        try:
            self._empty(fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=self._top)

    def _empty(self, fd: int) -> None:
        """Unlinks the files of one folder and moves its folders to the top."""
        names = self._next_names(fd)
        while names:
            for name in names:
                if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    _open_up(name, fd)
                    os.rename(name, f"{self._prefix}{self._moved}", src_dir_fd=fd, dst_dir_fd=self._top)
                    self._moved += 1
                else:
                    os.unlink(name, dir_fd=fd)
            names = self._next_names(fd)

    def _next_names(self, fd: int) -> list[str]:
        names: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                if fd != self._top or not entry.name.startswith(self._prefix):
                    names.append(entry.name)
                if len(names) == _BATCH:
                    break
        return names


def _open_up(name: str, parent: int) -> None:
    """A folder whose rights the guest took away can be neither moved nor read."""
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{fd}", 0o700)
    finally:
        os.close(fd)
