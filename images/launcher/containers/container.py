"""A container that an engine made for a sandbox of ours: what the record keeps of it, and how it is seen and killed
without the engine."""

import os
import re
import signal
import time
from dataclasses import dataclass, field
from typing import Any

_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


@dataclass
class Container:
    name: str
    socket: str | None
    """Path of the engine's unix socket; None where only the driver can reach the engine."""
    generation: int
    held: dict[str, Any]
    """What the owner was told (uid, gid, workspace), for the next one."""
    ended_lock: str | None
    """owner.json of an ended workspace that is in use, and whether readers share it."""
    shares_lock: bool
    adoption: dict[str, Any] | None
    """`graceMs`, `lifetimeMs` and `payload`; None when the container goes with its owner."""
    orphaned_at: float | None = None
    """Seconds since boot when a sweep first found its owner dead: no clock that people set decides about its life."""
    id: str | None = None
    """None until the owner has said that it runs."""
    started_at: str | None = None
    cgroups: list[str] = field(default_factory=list)
    held_at: float | None = None
    """Seconds since boot when it was first held."""

    @property
    def is_adoptable(self) -> bool:
        return self.adoption is not None and self.id is not None

    @property
    def grace_is_over(self) -> bool:
        if self.adoption is None or self.orphaned_at is None:
            return False
        return self._is_over(self.orphaned_at, self.adoption["graceMs"]) or self.lifetime_is_over

    @property
    def lifetime_is_over(self) -> bool:
        lifetime = None if self.adoption is None else self.adoption.get("lifetimeMs")
        return lifetime is not None and self.held_at is not None and self._is_over(self.held_at, lifetime)

    @staticmethod
    def _is_over(since: float, limit_ms: object) -> bool:
        """A moment ahead of now lies before the last boot."""
        waited = seconds_since_boot() - since
        return waited < 0 or waited * 1000 >= float(str(limit_ms))

    def start(self, id: str, started_at: str, cgroups: list[str]) -> None:
        if not _CONTAINER_ID.fullmatch(id):
            raise ValueError(f"{id!r} is no container id")
        foreign = [path for path in cgroups if not _is_cgroup_of(path, id)]
        if foreign:
            raise ValueError(f"{foreign[0]} is no cgroup of container {id}")
        self.id, self.started_at, self.cgroups = id, started_at, cgroups

    def has_member(self, pid: int) -> bool:
        """Whether the kernel says that the process is in a cgroup of this container."""
        try:
            with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
                return self.id is not None and self.id in file.read()
        except OSError:
            return False

    def kill_member(self, pid: int) -> None:
        """The pid may have gone to another process since it was listed, so membership is read again under the pidfd."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return
        try:
            if self.has_member(pid):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except OSError:
            pass
        finally:
            os.close(pidfd)

    def to_record(self) -> dict[str, Any]:
        return dict(vars(self))


def parse_container(record: object, name: str) -> Container | None:
    """Raises TypeError, KeyError or ValueError for what is not a record of the sandbox's own container."""
    if record is None:
        return None
    if not isinstance(record, dict):
        raise TypeError("container is not an object")
    container = Container(**record)
    _check_types(container)
    if container.name != container_name(name):
        raise ValueError("it names another container")
    if container.id is not None:
        container.start(container.id, str(container.started_at), container.cgroups)
    return container


def _check_types(container: Container) -> None:
    """What is reckoned with later, when nobody expects an error any more."""
    adoption = container.adoption
    if adoption is not None:
        _check(adoption, dict)
        _check(adoption["graceMs"], int, float)
        _check(adoption.get("lifetimeMs"), int, float, type(None))
    for moment in (container.orphaned_at, container.held_at):
        _check(moment, int, float, type(None))
    for text in (container.socket, container.ended_lock, container.id, container.started_at):
        _check(text, str, type(None))
    if not isinstance(container.cgroups, list) or (container.id is None and container.cgroups):
        raise TypeError("it has cgroups of no container")


def _check(value: object, *types: type) -> None:
    if not isinstance(value, types):
        raise TypeError(f"{value!r:.100} does not belong there")


def container_name(id: str) -> str:
    return f"paddock-{id}"


def seconds_since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _is_cgroup_of(path: object, id: str) -> bool:
    return isinstance(path, str) and id in path and os.path.realpath(path).startswith("/sys/fs/cgroup/")
