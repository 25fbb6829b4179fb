"""One walk over the workspace that compares it with what an earlier walk saw.

A baseline maps each folder (`""`, `"a/"`, `"a/b/"`) to the signatures of its names: `(mode, size, inode, mtime,
ctime)`, `(mode,)` for a folder, `("tree", files, bytes, newest)` for a package tree.
"""

from __future__ import annotations

import errno
import os
import stat
from itertools import islice

from ..access.paths import open_child
from ..access.walk import MAX_OPEN_FOLDERS
from ..contract import STEP, TYPE_CHECKING
from .trees import BATCH_ENTRIES, FOLDER_COST, Measure, is_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, TypeAlias

    Signature: TypeAlias = "tuple[Any, ...]"
    Baseline: TypeAlias = "dict[str, dict[str, Signature]]"
    Waits: TypeAlias = "Generator[Any, Any, None]"
    Report: TypeAlias = "Callable[[str, str, Signature, int], Waits]"

MAX_ENTRIES = 200_000
OWN_FOLDER = ".paddock"
TYPE_MASK = 0o170000
FOLDER, REGULAR = stat.S_IFDIR, stat.S_IFREG


def is_folder(signature: Signature | None) -> bool:
    return signature is not None and len(signature) == 1


class Scan:
    """After `run`: `now` is the new baseline, `skipped` counts what was too many, too deep or locked.

    `report(kind, path, signature, folder_fd)` is run for every difference; the descriptor is the entry's folder, or -1.
    """

    def __init__(self, before: Baseline, report: Report | None) -> None:
        self.before = before
        self.report = report
        self.now: Baseline = {}
        self.entries = 0
        self.bytes = 0
        self.skipped = 0
        self.since_step = 0

    def run(self, root_fd: int) -> Waits:
        stack: list[tuple[int, str, list[str]]] = [(os.dup(root_fd), "", [])]
        try:
            yield from self.compare_folder(*stack[0])
            while stack:
                fd, prefix, pending = stack[-1]
                if not pending:
                    os.close(stack.pop()[0])
                    continue
                name = pending.pop()
                child = self.open_folder(fd, prefix, name, len(stack))
                if child is None:
                    yield from self.report_if_changed(prefix, name, self.now[prefix].get(name))
                    continue
                stack.append((child, f"{prefix}{name}/", []))
                if is_tree(child, name):
                    yield from self.compare_tree(child, prefix, name)
                else:
                    yield from self.compare_folder(*stack[-1])
                    yield from self.report_folder(prefix, name)
        finally:
            for frame in stack:
                os.close(frame[0])

    def compare_folder(self, fd: int, prefix: str, folders: list[str]) -> Waits:
        before = self.before.get(prefix, {})
        now = self.now[prefix] = {}
        is_whole = True
        with os.scandir(fd) as entries:
            while batch := list(islice(entries, BATCH_ENTRIES)):
                if self.entries >= MAX_ENTRIES:
                    self.skipped += len(batch)
                    is_whole = False
                else:
                    changed = self.compare_batch(batch, prefix, before, now, folders)
                    if self.report is not None:
                        yield from self.report_changed(changed, prefix, before, fd)
                self.since_step += len(batch) + FOLDER_COST
                if self.since_step >= BATCH_ENTRIES:
                    self.since_step = 0
                    yield STEP
        if is_whole and self.report is not None and before.keys() - now.keys():
            for name in before.keys() - now.keys():
                yield from self.report_deleted(prefix + name, before[name])

    def compare_batch(
        self,
        batch: list[os.DirEntry[str]],
        prefix: str,
        before: dict[str, Signature],
        now: dict[str, Signature],
        folders: list[str],
    ) -> list[tuple[str, Signature]]:
        changed: list[tuple[str, Signature]] = []
        size = 0
        get = before.get
        for entry in batch:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError:
                # The folder may not be searched, or the disk fails.
                self.skipped += 1
                self.keep_entry(prefix, entry.name)
                continue
            name = entry.name
            mode = info.st_mode
            kind = mode & TYPE_MASK
            if kind == FOLDER:
                if prefix or name != OWN_FOLDER:
                    now[name] = (mode,)
                    folders.append(name)
                continue
            signature = (mode, info.st_size, info.st_ino, info.st_mtime_ns, info.st_ctime_ns)
            known = get(name)
            if known == signature:
                now[name] = known
            else:
                now[name] = signature
                changed.append((name, signature))
            if kind == REGULAR:
                size += info.st_size
        self.entries += len(batch)
        self.bytes += size
        return changed

    def report_changed(
        self,
        changed: list[tuple[str, Signature]],
        prefix: str,
        before: dict[str, Signature],
        fd: int,
    ) -> Waits:
        assert self.report is not None
        for name, signature in changed:
            known = before.get(name)
            kind = "created" if known is None else "modified"
            yield from self.report(kind, prefix + name, signature, fd)
            if is_folder(known):
                yield from self.report_below(f"{prefix}{name}/")

    def report_deleted(self, path: str, known: Signature) -> Waits:
        assert self.report is not None
        yield from self.report("deleted", path, known, -1)
        if is_folder(known):
            yield from self.report_below(path + "/")

    def report_below(self, prefix: str) -> Waits:
        """Everything that a folder held which is gone."""
        assert self.report is not None
        pending = [prefix]
        while pending:
            prefix = pending.pop()
            for name, known in self.before.get(prefix, {}).items():
                yield from self.report("deleted", prefix + name, known, -1)
                if is_folder(known):
                    pending.append(f"{prefix}{name}/")

    def open_folder(self, fd: int, prefix: str, name: str, depth: int) -> int | None:
        if depth < MAX_OPEN_FOLDERS:
            try:
                return open_child(name, fd)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    # Replaced since it was listed: the next diff compares what is there with what was known.
                    del self.now[prefix][name]
                    self.keep_entry(prefix, name)
                    return None
                if error.errno != errno.EACCES:
                    raise
        self.skipped += 1
        self.keep_folder(f"{prefix}{name}/")
        return None

    def keep_entry(self, prefix: str, name: str) -> None:
        known = self.before.get(prefix, {}).get(name)
        if known is not None:
            self.now[prefix][name] = known
            self.keep_folder(f"{prefix}{name}/")

    def keep_folder(self, prefix: str) -> None:
        """What a folder held that cannot be looked into now counts as unchanged."""
        pending = [prefix]
        while pending:
            prefix = pending.pop()
            known = self.before.get(prefix)
            if known is None:
                continue
            self.now[prefix] = known
            pending += [f"{prefix}{name}/" for name in known if is_folder(known[name])]

    def compare_tree(self, fd: int, prefix: str, name: str) -> Waits:
        measure = Measure()
        yield from measure.run(fd)
        self.bytes += measure.bytes
        signature = ("tree", measure.files, measure.bytes, measure.newest)
        self.now[prefix][name] = signature
        yield from self.report_if_changed(prefix, name, signature)

    def report_folder(self, prefix: str, name: str) -> Waits:
        """A new folder is listed only when no entry in it says that it exists."""
        is_known = name in self.before.get(prefix, {})
        if is_known or not self.now[f"{prefix}{name}/"]:
            yield from self.report_if_changed(prefix, name, self.now[prefix][name])

    def report_if_changed(self, prefix: str, name: str, signature: Signature | None) -> Waits:
        known = self.before.get(prefix, {}).get(name)
        if self.report is None or signature is None or known == signature:
            return
        kind = "created" if known is None else "modified"
        yield from self.report(kind, prefix + name, signature, -1)
