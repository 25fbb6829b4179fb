"""What all sandboxes of one launcher share; sent once by the owner (`configure`)."""

import os
from dataclasses import dataclass
from typing import Any

from events import Events
from groups import Parent
from owners.evidence import read_start_time
from owners.uids import UidPool
from workspaces.images import BlankImages

_FIRST_UID, _LAST_UID = 200_000, 265_535


@dataclass(frozen=True)
class Rooms:
    workspaces: str
    run: str
    owners: str


@dataclass(frozen=True)
class Context:
    driver: str
    bubblewrap: str
    rooms: Rooms
    parents: list[Parent]
    seccomp: bytes
    pool: UidPool | None
    """None when the launcher is not root: every sandbox then runs under our own uid."""
    min_free_bytes: int
    retention_seconds: float
    retention_bytes: float
    removal_seconds: float
    """How long a removal is tried before it has failed."""
    events: Events
    blanks: BlankImages
    pid: int
    start_time: int
    owner: dict[str, int]
    """`pid` and `start` of the process that this launcher belongs to."""


def make_context(message: dict[str, Any], events: Events) -> Context:
    rooms = message["rooms"]
    pool = (
        UidPool(rooms["uids"], rooms["workspaces"], rooms["owners"], _FIRST_UID, _LAST_UID)
        if os.getuid() == 0
        else None
    )
    return Context(
        driver=message["driver"],
        bubblewrap=message["bubblewrap"],
        rooms=Rooms(rooms["workspaces"], rooms["run"], rooms["owners"]),
        parents=message["parents"],
        seccomp=bytes.fromhex(message["seccomp"]),
        pool=pool,
        min_free_bytes=message["minFreeBytes"],
        retention_seconds=message["retention"]["ageMs"] / 1000,
        retention_bytes=message["retention"]["bytes"],
        removal_seconds=message["removalMs"] / 1000,
        events=events,
        blanks=BlankImages(),
        pid=os.getpid(),
        start_time=read_start_time(os.getpid()),
        owner=message["owner"],
    )
