"""Removes folders that a guest filled, however deep or closed they are. Nothing of the guest lives any more; another
launcher may be at it too."""

import errno
import os
import stat
import time
from collections.abc import Callable

_BATCH = 10_000
_TURNS = 100
"""So often in a row somebody else may get everything before us."""


def remove_tree(folder: str) -> None:
    """It is gone on return, whoever removed it. Raises OSError for what cannot be removed."""
    for _ in range(_TURNS):
        try:
            _empty_tree(folder)
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
    raise OSError(errno.ENOTEMPTY, f"{folder} is filled while it is removed")


def _empty_tree(folder: str) -> None:
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _Removal(top).run()
    finally:
        os.close(top)


class _Removal:
    """Moves the folders in a folder up to the top before it goes, so neither recursion, descriptors nor path lengths
    grow with the depth."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._prefix = f".removing-{os.getpid()}-{time.monotonic_ns()}-"
        self._moved = 0

    def run(self) -> None:
        idle = 0
        while names := _next_names(self._top):
            removed = sum(self._take(name, self._top, self._remove_folder) for name in names)
            idle = 0 if removed > 0 else idle + 1
            if idle == _TURNS:
                raise OSError(errno.ENOTEMPTY, f"{names[0]} cannot be removed")

    def _take(self, name: str, parent: int, take_folder: Callable[[str, int], None]) -> bool:
        """False where somebody else was faster or is still at it: the next look at the folder tells."""
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                _open_up(name, parent)
                take_folder(name, parent)
            else:
                os.unlink(name, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
            return False
        return True

    def _remove_folder(self, name: str, parent: int) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            while names := _next_names(fd):
                if not any([self._take(inner, fd, self._move_up) for inner in names]):
                    break
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=parent)

    def _move_up(self, name: str, parent: int) -> None:
        os.rename(name, f"{self._prefix}{self._moved}", src_dir_fd=parent, dst_dir_fd=self._top)
        self._moved += 1


def _next_names(fd: int) -> list[str]:
    names: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
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
