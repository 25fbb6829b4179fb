"""`snapshot` and `diff`: what changed in the workspace since the last of either.

An entry is modified when its signature changed, so a file that was touched or rewritten with the same content counts.
A rename is a deletion and a creation. The first diff without a snapshot is against an empty workspace.
"""

from __future__ import annotations

import os
import stat

from json_text import encode

from ..access.names import fits, show_text
from ..access.paths import COMMON, locate, open_folder
from ..contract import DRAIN, STEP, TYPE_CHECKING
from ..digest import make_hash
from ..entries import TYPES
from ..lines import Lines
from .baseline import Scan

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from channel.calls import Call

    from ..contract import Request, Steps
    from .baseline import Baseline, Signature

CHUNK_BYTES = 1 << 20
# What opening a small file costs, in bytes hashed in the same time.
OPEN_COST_BYTES = 1 << 12
STEP_LINES = 256
# Of paths, in the record of the call; a thousand ordinary ones take a tenth.
MAX_PATH_BYTES = 1 << 20
HASH_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | COMMON

_baselines: dict[str, Baseline] = {}


def run_snapshot(call: Call, request: Request) -> Steps:
    scan = Scan({}, None)
    yield from run_scan(call, scan)
    _baselines[call.workspace] = scan.now
    return {"entries": scan.entries, "bytes": scan.bytes}


def run_diff(call: Call, request: Request) -> Steps:
    changes = Changes(request["max_files"], request["max_hash_bytes"])
    scan = Scan(_baselines.get(call.workspace, {}), changes.report)
    yield from run_scan(call, scan)
    lines = Lines(call)
    changes.lines.sort(key=lambda fields: fields["path"])
    for count, fields in enumerate(changes.lines):
        lines.add(fields)
        if count % STEP_LINES == STEP_LINES - 1:
            yield DRAIN if call.full else STEP
    lines.flush()
    _baselines[call.workspace] = scan.now
    return {"entries": len(changes.lines), "more": changes.more + scan.skipped}


def run_scan(call: Call, scan: Scan) -> Generator[Any, Any, None]:
    root_fd = open_folder(locate(call, "."))
    try:
        yield from scan.run(root_fd)
    finally:
        os.close(root_fd)


class Changes:
    """The first `max_files` differences as lines, with a digest while `max_hash_bytes` lasts; the rest is counted."""

    def __init__(self, max_files: int, max_hash_bytes: int) -> None:
        self.max_files = max_files
        self.rest_bytes = max_hash_bytes
        self.hashed_bytes = 0
        self.since_step = 0
        self.more = 0
        self.path_bytes = 0
        self.lines: list[dict[str, Any]] = []

    def report(self, kind: str, path: str, signature: Signature, folder_fd: int) -> Generator[Any, Any, None]:
        if len(self.lines) >= self.max_files or not fits(shown := show_text(path)):
            self.more += 1
            return
        self.path_bytes += len(encode(shown))
        if self.path_bytes > MAX_PATH_BYTES:
            self.more += 1
            return
        entry_type, size, files = describe_signature(signature)
        digest: str | None = None
        if entry_type == "file" and kind != "deleted" and size <= self.rest_bytes:
            digest = yield from self.hash_file(path, signature, folder_fd)
        self.lines.append(
            {
                "kind": kind,
                "path": shown,
                "type": entry_type,
                "size": size,
                "sha256": digest,
                "files": files,
            }
        )

    def hash_file(self, path: str, signature: Signature, folder_fd: int) -> Generator[Any, Any, str | None]:
        size: int = signature[1]
        try:
            fd = os.open(path.rpartition("/")[2], HASH_FLAGS, dir_fd=folder_fd)
        except OSError:
            return None
        try:
            info = os.fstat(fd)
            if info.st_ino != signature[2] or not stat.S_ISREG(info.st_mode):
                return None
            # Many small files are as good a reason for the faster code as one large file.
            hasher = make_hash(max(size, self.hashed_bytes // 8))
            self.hashed_bytes += size
            self.rest_bytes -= size
            rest = size
            while rest > 0 and (chunk := os.read(fd, min(CHUNK_BYTES, rest))):
                hasher.update(chunk)
                rest -= len(chunk)
                self.since_step += len(chunk)
                if self.since_step >= CHUNK_BYTES:
                    self.since_step = 0
                    yield STEP
            self.since_step += OPEN_COST_BYTES
            return hasher.hexdigest()
        except OSError:
            return None
        finally:
            os.close(fd)


def describe_signature(signature: Signature) -> tuple[str, int, int | None]:
    """Type, size, and for a package tree the number of its files."""
    if len(signature) == 1:
        return "dir", 0, None
    if signature[0] == "tree":
        return "tree", signature[2], signature[1]
    return TYPES.get(stat.S_IFMT(signature[0]), "other"), signature[1], None
