"""Takes over a sandbox whose owner is dead."""

import os
import time
from collections.abc import Callable

from containers.owned_container import OwnedContainer
from context import Context
from errors import CreateError
from owners.evidence import same_process
from owners.footprint import Footprint, is_running
from owners.locks import LockedFile, parse_record, read_unlocked, try_lock
from owners.records import UNREADABLE, read_footprint
from owners.retention import SANDBOX_ID

_LETTING_GO_SECONDS = 15.0
"""The launcher of a dead owner may not have had the processor yet, and a reaper holds the lock for a moment."""
_RETRY_SECONDS = 0.025

Done = Callable[[OwnedContainer | CreateError], None]


def adopt(context: Context, id: str, forget: Callable[[str], None], done: Done) -> None:
    """Only one of several adopters gets the lock. Whatever is refused stays as it was. A living owner refuses at
    once."""
    path = os.path.join(context.rooms.owners, id)
    deadline = time.monotonic() + _LETTING_GO_SECONDS

    def attempt() -> None:
        if not SANDBOX_ID.fullmatch(id) or not os.path.lexists(path):
            done(CreateError("not_found", "adopt", f"there is no sandbox {id}"))
            return
        try:
            lock = try_lock(path)
        except OSError as error:
            done(_refuse(f"its owner file cannot be read: {error}"))
            return
        if lock is not None:
            done(_take(context, id, lock, forget))
        elif _is_owned(context, path):
            done(_refuse("its owner lives"))
        elif time.monotonic() > deadline:
            done(_refuse(f"its owner is dead, but somebody has held it for {_LETTING_GO_SECONDS:.0f} s"))
        else:
            context.events.later(_RETRY_SECONDS, attempt)

    attempt()


def _is_owned(context: Context, path: str) -> bool:
    """Whether the owner lives that the record names. We are it ourselves where our launcher has died: then we come back
    for what it held."""
    record = read_unlocked(path) or {}
    owner = record.get("owner")
    return _lives(record.get("launcher") if owner == context.owner else owner)


def _lives(process: object) -> bool:
    if not isinstance(process, dict):
        return False
    pid, start = process.get("pid"), process.get("start")
    return isinstance(pid, int) and isinstance(start, int) and is_running(pid, start)


def _take(context: Context, id: str, lock: LockedFile, forget: Callable[[str], None]) -> OwnedContainer | CreateError:
    try:
        record = parse_record(lock) or {}
        footprint = read_footprint(context, id, lock)
    except UNREADABLE as error:
        lock.release(unlink=False)
        return _refuse(f"its owner file cannot be read: {error}")
    problem = _find_problem(context, record, footprint)
    if problem is not None or footprint.container is None:
        footprint.release_locks()
        return _refuse(problem or "it is no container")
    held = OwnedContainer(context, footprint, footprint.container, forget)
    held.take_over()
    return held


def _find_problem(context: Context, record: dict[str, object], footprint: Footprint) -> str | None:
    container = footprint.container
    if container is None or record.get("driver") != context.driver:
        return f"driver {record.get('driver')} made it"
    if not container.is_adoptable:
        return "it was not made for adoption, or had not started when its owner died"
    if container.lifetime_is_over:
        return "its time is over"
    if record.get("uid") is not None and footprint.uid is None:
        return "its uid is in use"
    if footprint.processes and not any(same_process(pid, start) for pid, start in footprint.processes):
        return "it no longer runs"
    if container.ended_lock is not None:
        lock = try_lock(container.ended_lock, shared=container.shares_lock)
        if lock is None:
            return "its workspace is in use"
        footprint.other_locks.append(lock)
    return None


def _refuse(problem: str) -> CreateError:
    return CreateError("adoption_refused", "adopt", problem)
