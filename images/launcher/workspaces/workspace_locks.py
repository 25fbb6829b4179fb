"""Who uses a workspace that outlives its sandboxes: an ended one, or a volume.

The file that is locked is the `owner.json` of an ended workspace, and `owners/<volume id>` of a volume. The latter also
names the last sandbox that wrote to the volume: a container may outlive the process that held the lock, and then the
sandbox's own record says that it is still there.
"""

import json
import os
from typing import Any

from context import Context
from errors import CreateError
from launch import Identity, Workspace
from owners.locks import LockedFile, parse_record, try_lock
from workspaces import images

_IN_USE_STEP = "workspace in use"
"""The owner asks again for a while when it reads this (driver.ts)."""


def claim(context: Context, workspace: Workspace, identity: Identity | None, sandbox: str) -> LockedFile | None:
    """Locks what the sandbox is to use as its workspace. Raises CreateError: `not_found`, or `capacity` while it is in
    use."""
    path, volume = workspace["lock"], workspace["volume"]
    if path is None:
        return None
    lock = try_lock(path, create=volume is not None, shared=workspace["readOnly"])
    if lock is None:
        raise (
            in_use(path)
            if os.path.lexists(path)
            else CreateError("not_found", "workspace", "the ended workspace is gone")
        )
    try:
        if volume is not None:
            _check_volume(context, volume, identity)
            check_holder(context, volume, lock, sandbox)
        if workspace["image"] is not None and not workspace["readOnly"]:
            check_detached(workspace["image"])
    except CreateError as error:
        lock.release(unlink=error.code == "not_found")
        raise
    return lock


def name_holder(volume: str, lock: LockedFile, sandbox: str) -> None:
    """From now on the volume is in use as long as the sandbox has a record."""
    write_state(lock, {**read_state(lock), "id": volume, "holder": sandbox})


def check_holder(context: Context, volume: str, lock: LockedFile, sandbox: str | None = None) -> None:
    holder = read_state(lock).get("holder")
    if (
        isinstance(holder, str)
        and holder != sandbox
        and os.path.lexists(os.path.join(context.rooms.owners, os.path.basename(holder)))
    ):
        raise in_use(volume)


def check_detached(image: str) -> None:
    """Only for those who have the lock alone. What is still mounted here then was left by an engine that crashed with
    readers."""
    if images.is_attached(image):
        images.unmount_workspaces(image)
        raise in_use(os.path.dirname(image))


def lock_path(context: Context, volume: str) -> str:
    return os.path.join(context.rooms.owners, volume)


def volume_folder(context: Context, volume: str) -> str:
    return os.path.join(context.rooms.workspaces, volume)


def read_owner(context: Context, volume: str) -> dict[str, Any] | None:
    """What the volume's owner.json says; None for a volume that is not whole."""
    path = os.path.join(volume_folder(context, volume), "owner.json")
    try:
        with open(
            path, encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
        ) as file:
            owner = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(owner, dict) and owner.get("id") == volume and isinstance(owner.get("uid"), int)
    return owner if whole else None


def read_state(lock: LockedFile) -> dict[str, Any]:
    return parse_record(lock) or {}


def write_state(lock: LockedFile, state: dict[str, Any]) -> None:
    lock.rewrite(json.dumps(state).encode())


def in_use(what: str) -> CreateError:
    return CreateError(
        "capacity", _IN_USE_STEP, f"{what.removesuffix('/owner.json').rpartition('/')[2]} is used by another sandbox"
    )


def _check_volume(context: Context, volume: str, identity: Identity | None) -> None:
    owner = read_owner(context, volume)
    if owner is None:
        if os.path.lexists(volume_folder(context, volume)):
            raise CreateError("create_failed", "workspace", f"volume {volume} is not whole")
        raise CreateError("not_found", "workspace", f"there is no volume {volume}")
    if identity is not None and identity["uid"] != owner["uid"]:
        raise CreateError("create_failed", "workspace", f"volume {volume} was removed and made again meanwhile")
