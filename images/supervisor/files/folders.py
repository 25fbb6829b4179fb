"""`mkdir` and `move`, on open parent folders."""

from __future__ import annotations

import os

from .access.paths import ANCHOR_FLAGS, Place, locate, open_any, open_parent
from .contract import TYPE_CHECKING, OpError
from .errors import describe

if TYPE_CHECKING:
    from channel.calls import Call

    from .contract import Request, Steps

FOLDER_MODE = 0o755


def run_mkdir(call: Call, request: Request) -> Steps:
    yield from ()
    place = locate(call, request["path"])
    if request["parents"]:
        make_parents(place)
    parent_fd, name = open_parent(place)
    try:
        os.mkdir(name, FOLDER_MODE, dir_fd=parent_fd)
    except FileExistsError as error:
        if not request["parents"]:
            raise describe(error, place.text) from error
        os.close(open_any(place, ANCHOR_FLAGS))
        return {"created": False}
    except OSError as error:
        raise describe(error, place.text) from error
    finally:
        os.close(parent_fd)
    return {"created": True}


def make_parents(place: Place) -> None:
    """Creates the missing folders above the last name, each in the one that was just opened."""
    names = place.path.split(b"/")[:-1]
    if is_folder(place.at(b"/".join(names))):
        return
    parent_fd = open_any(place.at(b"."), ANCHOR_FLAGS)
    try:
        for depth, name in enumerate(names, 1):
            step = place.at(b"/".join(names[:depth]))
            try:
                os.mkdir(name, FOLDER_MODE, dir_fd=parent_fd)
            except FileExistsError:
                pass
            except OSError as error:
                raise describe(error, step.text) from error
            next_fd = open_any(step, ANCHOR_FLAGS)
            os.close(parent_fd)
            parent_fd = next_fd
    finally:
        os.close(parent_fd)


def is_folder(place: Place) -> bool:
    try:
        os.close(open_any(place, ANCHOR_FLAGS))
    except OpError as error:
        if error.code != "not_found":
            raise
        return False
    return True


def run_move(call: Call, request: Request) -> Steps:
    """A rename: it replaces a file, and an empty folder by a folder."""
    yield from ()
    source = locate(call, request["from"])
    target = locate(call, request["to"])
    source_fd, source_name = open_parent(source)
    try:
        target_fd, target_name = open_parent(target)
        try:
            os.rename(source_name, target_name, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        except OSError as error:
            raise describe(error, f"{source.text} to {target.text}") from error
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)
    return {}
