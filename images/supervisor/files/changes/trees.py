"""Package trees: folders of many installed files that nobody reads one by one. A diff sees each as one entry."""

from __future__ import annotations

import os
import stat
from itertools import islice

from ..access.paths import open_child
from ..access.walk import MAX_OPEN_FOLDERS
from ..contract import STEP, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

NAMES = frozenset(("node_modules", "__pycache__", ".git"))
VENV_MARK = "pyvenv.cfg"
BATCH_ENTRIES = 1024
# What opening a folder costs, in entries looked at in the same time.
FOLDER_COST = 8


def is_tree(fd: int, name: str) -> bool:
    return name in NAMES or os.access(VENV_MARK, os.F_OK, dir_fd=fd, follow_symlinks=False)


class Measure:
    """Files, bytes and the newest change time (of content, mode or names) below a folder."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self.newest = 0
        self.since_step = 0

    def run(self, root_fd: int) -> Generator[Any, Any, None]:
        self.newest = os.fstat(root_fd).st_ctime_ns
        stack: list[tuple[int, list[str]]] = [(os.dup(root_fd), [])]
        try:
            yield from self.add_folder(*stack[0])
            while stack:
                fd, pending = stack[-1]
                if not pending:
                    os.close(stack.pop()[0])
                    continue
                child = try_open(fd, pending.pop()) if len(stack) < MAX_OPEN_FOLDERS else None
                if child is not None:
                    stack.append((child, []))
                    yield from self.add_folder(*stack[-1])
        finally:
            for fd, _ in stack:
                os.close(fd)

    def add_folder(self, fd: int, folders: list[str]) -> Generator[Any, Any, None]:
        newest = self.newest
        with os.scandir(fd) as entries:
            while batch := list(islice(entries, BATCH_ENTRIES)):
                for entry in batch:
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if info.st_ctime_ns > newest:
                        newest = info.st_ctime_ns
                    if stat.S_ISDIR(info.st_mode):
                        folders.append(entry.name)
                    else:
                        self.files += 1
                        self.bytes += info.st_size
                self.since_step += len(batch) + FOLDER_COST
                if self.since_step >= BATCH_ENTRIES:
                    self.since_step = 0
                    yield STEP
        self.newest = newest


def try_open(fd: int, name: str) -> int | None:
    try:
        return open_child(name, fd)
    except OSError:
        return None
