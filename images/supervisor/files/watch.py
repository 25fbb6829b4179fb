"""`watch`: changes below a folder, or of one file, until the host cancels.

A rename is `move` with the path that is gone, then `create` with the new one. Repetitions within a burst are one
event; what came into a new folder before it was watched may be reported twice. `modify` of the watched folder itself
means that events were lost: look again.
"""

from __future__ import annotations

import os
import stat

from .access.names import fits
from .access.paths import ANCHOR_FLAGS, Place, locate, open_any
from .access.walk import MAX_OPEN_FOLDERS, walk
from .contract import DRAIN, FRAME, STEP, TYPE_CHECKING, OpError, Readable
from .entries import join_text
from .errors import fail
from .inotify import (
    CHANGES,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    Inotify,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from channel.calls import Call

    from .contract import Request, Steps

MAX_WATCHES = 8192
STEP_ENTRIES = 256
SELF = IN_DELETE_SELF | IN_MOVE_SELF
FOLDER_FLAGS = ANCHOR_FLAGS | os.O_NOFOLLOW


def run_watch(call: Call, request: Request) -> Steps:
    place = locate(call, request["path"])
    watcher = Watcher(call, place, request["recursive"])
    try:
        yield from watcher.start()
        while True:
            if (yield Readable(watcher.inotify.fd)):
                yield from watcher.pump()
                yield DRAIN if call.full else STEP
            elif is_cancel((yield FRAME)):
                return {"events": watcher.sent}
    finally:
        watcher.inotify.close()


def is_cancel(frame: object) -> bool:
    return isinstance(frame, dict) and frame.get("op") == "cancel"


def name_kind(mask: int) -> str:
    if mask & (IN_CREATE | IN_MOVED_TO):
        return "create"
    if mask & (IN_DELETE | IN_DELETE_SELF):
        return "delete"
    return "move" if mask & (IN_MOVED_FROM | IN_MOVE_SELF) else "modify"


class Watcher:
    """`paths` gives each watch's folder relative to the watched place.

    No descriptor of a watched folder is kept: the kernel reports a deletion only when nobody holds what was deleted.
    """

    def __init__(self, call: Call, place: Place, is_recursive: bool) -> None:
        self.call = call
        self.place = place
        self.is_recursive = is_recursive
        self.is_file = False
        self.sent = 0
        self.paths: dict[int, str] = {}
        self.inotify = Inotify()

    def start(self) -> Generator[Any, Any, None]:
        fd = open_any(self.place, os.O_PATH)
        try:
            mode = os.fstat(fd).st_mode
            self.is_file = stat.S_ISREG(mode)
            if not self.is_file and not stat.S_ISDIR(mode):
                raise fail("not_a_file", self.place.text, "neither a file nor a folder")
            self.add(fd, "", CHANGES | SELF)
            if not self.is_file:
                yield from self.add_below(fd, "", is_new=False)
        finally:
            os.close(fd)

    def add(self, fd: int, path: str, mask: int) -> None:
        self.paths[self.inotify.add(fd, mask)] = path
        if len(self.paths) > MAX_WATCHES:
            raise OpError("unavailable", f"more than {MAX_WATCHES} folders to watch")

    def add_below(self, fd: int, path: str, is_new: bool) -> Generator[Any, Any, None]:
        """Watches the folders below one that is watched already; `is_new`: what it holds has not been reported."""
        if not self.is_recursive:
            return
        prefix = path + "/" if path else ""
        folder_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        found = walk(folder_fd, max_depth=MAX_OPEN_FOLDERS, skips_unreadable=True)
        try:
            for count, entry in enumerate(found, 1):
                if is_new:
                    self.send("create", prefix + entry.path)
                if stat.S_ISDIR(entry.info.st_mode):
                    self.add_child(entry.folder_fd, entry.name, prefix + entry.path)
                if count % STEP_ENTRIES == 0:
                    yield DRAIN if self.call.full else STEP
        finally:
            found.close()
            os.close(folder_fd)

    def add_child(self, folder_fd: int, name: str, path: str) -> None:
        """Watches a folder that may be gone or locked by now."""
        try:
            fd = os.open(name, FOLDER_FLAGS, dir_fd=folder_fd)
        except OSError:
            return
        try:
            self.add(fd, path, CHANGES | IN_ONLYDIR)
        except PermissionError:
            pass
        finally:
            os.close(fd)

    def pump(self) -> Generator[Any, Any, None]:
        latest: dict[str, str] = {}
        for count, (watch, mask, name) in enumerate(self.inotify.read(), 1):
            if count % STEP_ENTRIES == 0:
                yield DRAIN if self.call.full else STEP
            if mask & IN_Q_OVERFLOW:
                latest.clear()
                yield from self.start_again()
            elif mask & IN_IGNORED:
                self.paths.pop(watch, None)
            elif (path := self.find_path(watch, mask, name)) is not None:
                kind = name_kind(mask)
                if latest.get(path) != kind:
                    latest[path] = kind
                    self.send(kind, path)
                if mask & IN_ISDIR and path and self.is_recursive:
                    yield from self.follow_folder(kind, path)

    def find_path(self, watch: int, mask: int, name: str) -> str | None:
        folder = self.paths.get(watch)
        if folder is None or (not name and not self.is_file and not mask & SELF):
            return None
        return f"{folder}/{name}" if folder and name else folder or name

    def follow_folder(self, kind: str, path: str) -> Generator[Any, Any, None]:
        if kind == "move":
            self.forget_below(path)
        if kind != "create":
            return
        try:
            fd = open_any(self.place.at(self.place.path + b"/" + os.fsencode(path)), FOLDER_FLAGS)
        except OpError:
            return
        try:
            self.add(fd, path, CHANGES | IN_ONLYDIR)
            yield from self.add_below(fd, path, is_new=True)
        except PermissionError:
            return
        finally:
            os.close(fd)

    def forget_below(self, path: str) -> None:
        prefix = path + "/"
        for watch, known in list(self.paths.items()):
            if known == path or known.startswith(prefix):
                del self.paths[watch]
                self.inotify.remove(watch)

    def start_again(self) -> Generator[Any, Any, None]:
        self.send("modify", "")
        try:
            yield from self.start()
        except OpError as error:
            if error.code != "not_found":
                raise

    def send(self, kind: str, path: str) -> None:
        text = join_text(self.place, path) if path else self.place.text
        if not fits(text):
            return
        self.sent += 1
        self.call.send_event({"op": "changed", "kind": kind, "path": text})
