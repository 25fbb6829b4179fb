"""What the owner sends for one sandbox. It is made and checked in TypeScript (launch.ts); keep the two alike."""

from typing import TypedDict

from groups import Group

ARGUMENTS_FD, STATUS_FD, SECCOMP_FD, WORKSPACE_FD, FIRST_DATA_FD = 10, 11, 12, 13, 14


class Identity(TypedDict):
    uid: int
    gid: int


class Workspace(TypedDict):
    folder: str | None
    """Folder to make below `workspaces`; None when the workspace is somebody else's or a tmpfs."""
    blank: str | None
    """Formatted empty image to copy into `folder`; None for a plain folder."""
    image: str | None
    """Image to mount on `source`."""
    source: str | None
    """Folder that bubblewrap binds; None for a tmpfs."""
    readOnly: bool
    lock: str | None
    """File of an ended workspace or a volume: locked while this sandbox lives, shared by readers."""
    volume: str | None
    """Id of the volume that it is."""


class Launch(TypedDict):
    id: str
    arguments: list[str]
    command: list[str]
    stdin: str
    data: list[str]
    """Contents of the synthetic files, in the order of their descriptors."""
    identity: Identity | None
    """Host uid and gid to run under; None takes one from the pool (root) or keeps our own."""
    groups: list[Group]
    rlimits: dict[str, int]
    hasOwnTerminals: bool
    """Whether a bounded instance of terminals is mounted over `/dev/pts`; takes root."""
    tasksAbovePresent: int | None
    """RLIMIT_NPROC as so many above what the uid already runs: the stand-in for a pids cgroup."""
    workspace: Workspace
    runDir: str
