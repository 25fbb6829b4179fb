"""Makes and removes volumes. `owner.json` is written last and removed first, so a folder without a whole one is half
made or half removed."""

import json
import os
import re
from collections.abc import Callable
from typing import Any

import kernel
from context import Context
from errors import CreateError, classify
from jobs import Answer, run_in_child
from launch import Identity
from owners.footprint import remove_workspace
from owners.locks import LockedFile, try_lock
from sandboxes.make import check_space, give_folder
from workspaces import images
from workspaces.trees import remove_tree
from workspaces.workspace_locks import (
    check_detached,
    check_holder,
    in_use,
    lock_path,
    read_owner,
    read_state,
    volume_folder,
    write_state,
)

VOLUME_ID = re.compile(r"vol_[0-9a-hjkmnp-tv-z]{26}")

Done = Callable[[dict[str, Any] | CreateError], None]
"""Takes the body of the reply, or the refusal."""


def make_volume(context: Context, message: dict[str, Any], done: Done) -> None:
    """A whole volume is left as it is. Raises CreateError, OSError or PoolExhausted."""
    id = _check_id(message["id"])
    if read_owner(context, id) is not None:
        done({})
        return
    lock = _lock(context, id)
    try:
        check_holder(context, id, lock)
        if read_owner(context, id) is not None:
            lock.release(unlink=False)
            done({})
            return
        check_space(context)
        identity, uid_lock = _take_uid(context, id, lock)
    except BaseException:
        lock.release(unlink=not os.path.lexists(volume_folder(context, id)))
        raise
    owner = {"id": id, **identity, "mode": "folder" if message["blank"] is None else "image", "bytes": message["bytes"]}

    def made(answer: Answer) -> None:
        error = answer.get("error")
        if error is None:
            if uid_lock is not None:
                uid_lock.release(unlink=False)
            lock.release(unlink=False)
            done({})
            return
        _clear(context, id, lock, uid_lock, lambda _problem: done(classify(answer.get("errno"), "volume", str(error))))

    # The child keeps the locks: if we die, nobody else makes or removes the volume before it is done.
    keep = tuple(held.fileno() for held in (lock, uid_lock) if held is not None)
    run_in_child(context.events, lambda: _fill(context, owner, message["blank"]), made, keep)


def remove_volume(context: Context, message: dict[str, Any], done: Done) -> None:
    """What was half made goes too. Raises CreateError or OSError."""
    id = _check_id(message["id"])
    lock = _lock(context, id)
    try:
        check_holder(context, id, lock)
        check_detached(images.image_path(volume_folder(context, id)))
        uid = (read_owner(context, id) or {}).get("uid")
        if uid is not None:
            write_state(lock, {"id": id, "uid": uid})
        _unlink(os.path.join(volume_folder(context, id), "owner.json"))
    except BaseException:
        lock.release(unlink=False)
        raise

    def cleared(problem: str | None) -> None:
        done({} if problem is None else CreateError("internal", "volume", problem))

    _clear(context, id, lock, None, cleared)


def _check_id(id: object) -> str:
    if not isinstance(id, str) or not VOLUME_ID.fullmatch(id):
        raise CreateError("create_failed", "volume", f"{id!r:.100} is no volume's id")
    return id


def _lock(context: Context, id: str) -> LockedFile:
    lock = try_lock(lock_path(context, id), create=True)
    if lock is None:
        raise in_use(id)
    return lock


def _take_uid(context: Context, id: str, lock: LockedFile) -> tuple[Identity, LockedFile | None]:
    """A uid whose file names the volume is nobody else's while volume or lock exist. Half a volume's is used again."""
    pool = context.pool
    if pool is None:
        return {"uid": os.getuid(), "gid": os.getgid()}, None
    known: int | None = read_state(lock).get("uid")
    uid_lock = _relock_uid(context, id, known)
    if known is not None and uid_lock is not None:
        return {"uid": known, "gid": known}, uid_lock
    uid, uid_lock = pool.allocate()
    try:
        write_state(lock, {"id": id, "uid": uid})
        uid_lock.write(id.encode())
        uid_lock.sync()
    except OSError:
        uid_lock.release(unlink=True)
        raise
    return {"uid": uid, "gid": uid}, uid_lock


def _relock_uid(context: Context, id: str, uid: object) -> LockedFile | None:
    """The lock on the uid's file if that names the volume."""
    if context.pool is None or not isinstance(uid, int) or not context.pool.owns(uid):
        return None
    lock = try_lock(context.pool.lock_path(uid))
    if lock is not None and lock.read() != id.encode():
        lock.release(unlink=False)
        return None
    return lock


def _fill(context: Context, owner: dict[str, Any], blank: str | None) -> Answer:
    """Runs in a child. What stands on the disk when owner.json does outlives a power cut."""
    folder = volume_folder(context, owner["id"])
    try:
        remove_tree(folder)
        os.mkdir(folder, 0o711)
        identity: Identity = {"uid": owner["uid"], "gid": owner["gid"]}
        if blank is None:
            tree = os.path.join(folder, "tree")
            os.mkdir(tree, 0o700)
            give_folder(tree, identity)
        else:
            _make_image(context, folder, blank, identity)
        _write_owner(folder, owner)
        for path in (folder, context.rooms.workspaces, context.rooms.owners):
            _sync(path)
    except OSError as error:
        return {"error": str(error), "errno": error.errno}
    return {}


def _make_image(context: Context, folder: str, blank: str, identity: Identity) -> None:
    """The root of the new file system becomes the sandboxes' own."""
    image, target = images.image_path(folder), os.path.join(folder, "mount")
    context.blanks.copy(blank, image)
    os.mkdir(target, 0o700)
    kernel.unshare_mounts()
    images.unmount_workspaces()
    images.mount_image(image, target, os.path.basename(folder), read_only=False)
    give_folder(target, identity)
    kernel.unmount(target)
    _sync(image)


def _write_owner(folder: str, owner: dict[str, Any]) -> None:
    draft = os.path.join(folder, "owner.json.new")
    with open(draft, "w", encoding="utf-8") as file:
        json.dump(owner, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, os.path.join(folder, "owner.json"))


def _clear(
    context: Context, id: str, lock: LockedFile, uid_lock: LockedFile | None, done: Callable[[str | None], None]
) -> None:
    """Removes everything of the volume; its uid last but one, its lock last."""

    def removed(problem: str | None) -> None:
        if problem is not None:
            if uid_lock is not None:
                uid_lock.release(unlink=False)
            lock.release(unlink=False)
        else:
            uid = uid_lock or _relock_uid(context, id, read_state(lock).get("uid"))
            if uid is not None:
                uid.release(unlink=True)
            lock.release(unlink=True)
        done(problem)

    try:
        remove_workspace(context.events, volume_folder(context, id), removed)
    except OSError as error:
        removed(str(error))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
