"""Owner records: what a sandbox makes on this machine, written before it is made and read by whoever removes it."""

import os
import time
from typing import Any

from containers.container import parse_container
from context import Context
from owners.footprint import Footprint
from owners.locks import LockedFile, parse_record, try_lock

UNREADABLE = (OSError, ValueError, TypeError, KeyError, OverflowError)
"""What reading an owner file may raise that says something else than a record of ours."""


def make_record(context: Context, footprint: Footprint) -> dict[str, Any]:
    record = {
        "id": footprint.id,
        "driver": context.driver,
        "created": time.time(),
        "uid": footprint.uid,
        "groups": footprint.group_paths,
        "runDir": footprint.run_dir,
        "workspace": footprint.workspace,
        "launcher": {"pid": context.pid, "start": context.start_time},
        "owner": context.owner,
        "processes": footprint.processes,
    }
    if footprint.image is not None:
        record["image"] = footprint.image
    if footprint.container is not None:
        record["container"] = footprint.container.to_record()
    return record


def read_footprint(context: Context, name: str, lock: LockedFile) -> Footprint:
    """Takes the uid's lock too, where it is free. Raises one of UNREADABLE for what is no record of this sandbox."""
    record = parse_record(lock)
    if record is None:
        return guess_footprint(context, name, lock)
    if record.get("id") != name:
        raise ValueError("it is not a record of this sandbox")
    rooms, pool = context.rooms, context.pool
    container = parse_container(record.get("container"), name)
    image = record.get("image")
    group_paths = [path for path in record["groups"] if _is_group_of(path, name)]
    processes = [(int(pid), int(start)) for pid, start in record["processes"]]
    uid = record["uid"]
    uid_lock = None
    if isinstance(uid, int) and pool is not None and pool.owns(uid):
        uid_lock = try_lock(pool.lock_path(uid), create=True)
    return Footprint(
        id=name,
        group_paths=group_paths,
        processes=processes,
        uid=uid if uid_lock is not None else None,
        workspace=_only(record["workspace"], os.path.join(rooms.workspaces, name)),
        run_dir=_only(record["runDir"], *run_folders(context, name)),
        record=lock,
        uid_lock=uid_lock,
        container=container,
        image=image if isinstance(image, str) and image.startswith(f"{rooms.workspaces}/") else None,
    )


def guess_footprint(context: Context, name: str, lock: LockedFile | None) -> Footprint:
    """After a power cut a record may be empty or missing; processes, groups and mounts are gone then, and the folders
    bear the name."""
    rooms = context.rooms
    workspace, run_dir = os.path.join(rooms.workspaces, name), os.path.join(rooms.run, name)
    return Footprint(name, [], [], None, workspace, run_dir, lock, None)


def run_folders(context: Context, name: str) -> tuple[str, str]:
    """Where the socket's folder may lie."""
    folder = os.path.join(context.rooms.run, name)
    return folder, os.path.join(folder, "socket")


def _is_group_of(path: object, name: str) -> bool:
    return (
        isinstance(path, str)
        and os.path.basename(path) == name
        and os.path.realpath(path).startswith("/sys/fs/cgroup/")
    )


def _only(path: object, *expected: str) -> str | None:
    """A record may name the folder that belongs to its sandbox and no other."""
    return path if isinstance(path, str) and path in expected else None
