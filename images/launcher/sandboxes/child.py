"""From the fork to bubblewrap: every step that must be done before anything of the sandbox runs."""

import errno
import fcntl
import json
import os
import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import groups
import kernel
from launch import WORKSPACE_FD, Identity, Launch
from owners.uids import count_tasks
from sandboxes import ptys
from workspaces import images

_LIFT_ABOVE = 200
_OOM_SCORE_ADJUST = 500
_CORE_PIPE_OFF = 1


@dataclass(frozen=True)
class Surroundings:
    """What the parent prepared."""

    bubblewrap: str
    launcher_pid: int
    identity: Identity | None
    """None keeps the launcher's own uid."""
    born_in_group: bool
    descriptors: Mapping[int, int]
    """Descriptor inside -> descriptor of the parent."""
    error_fd: int


def run_child(plan: Launch, surroundings: Surroundings) -> NoReturn:
    """Becomes bubblewrap. What goes wrong is written to `error_fd` with the name of the step; end of file there means
    success."""
    error_fd = surroundings.error_fd
    step = "signals"
    try:
        _reset_signals()
        step = "cgroup"
        _join(plan, surroundings)
        _write_oom_score()
        if plan["hasOwnTerminals"] or plan["workspace"]["image"] is not None:
            step = "mounts"
            kernel.unshare_mounts()
        if plan["hasOwnTerminals"]:
            step = "terminals"
            ptys.mount_terminals()
        step = "workspace"
        wanted = dict(surroundings.descriptors)
        if plan["workspace"]["source"] is not None:
            wanted[WORKSPACE_FD] = _open_workspace(plan, surroundings.identity)
        step = "descriptors"
        error_fd = _place_descriptors(wanted, error_fd)
        step = "rlimit"
        _set_limits(plan, surroundings.identity)
        step = "identity"
        _drop_privileges(surroundings)
        step = "exec"
        os.chdir("/")
        command = [surroundings.bubblewrap, "--args", "10", "--", *plan["command"]]
        os.execve(surroundings.bubblewrap, command, {})
    except BaseException as error:  # the child must never return into the parent's code
        number = error.errno if isinstance(error, OSError) else None
        os.write(error_fd, json.dumps({"step": step, "errno": number, "message": str(error)}).encode())
    finally:
        os._exit(127)


def _reset_signals() -> None:
    """The interpreter ignores two signals, and an ignored signal stays ignored across exec."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _join(plan: Launch, surroundings: Surroundings) -> None:
    groups.join_by_tasks(plan["groups"])
    if not surroundings.born_in_group:
        for group in plan["groups"]:
            if group["join"] == "clone":
                groups.join_by_procs(group)


def _write_oom_score() -> None:
    groups.write_file("/proc/self/oom_score_adj", str(_OOM_SCORE_ADJUST))


def _open_workspace(plan: Launch, identity: Identity | None) -> int:
    workspace = plan["workspace"]
    source = workspace["source"]
    assert source is not None
    if workspace["image"] is not None:
        images.unmount_workspaces()
        images.mount_image(workspace["image"], source, plan["id"], workspace["readOnly"])
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if workspace["folder"] is not None and identity is not None:
        os.fchown(fd, identity["uid"], identity["gid"])
        os.fchmod(fd, 0o700)
    return fd


def _place_descriptors(wanted: Mapping[int, int], error_fd: int) -> int:
    """Puts each descriptor at its number and closes every other one; returns where the error pipe went."""
    lifted = {target: fcntl.fcntl(fd, fcntl.F_DUPFD, _LIFT_ABOVE) for target, fd in wanted.items()}
    lifted_error = fcntl.fcntl(error_fd, fcntl.F_DUPFD_CLOEXEC, _LIFT_ABOVE)
    for target, fd in lifted.items():
        os.dup2(fd, target, inheritable=True)
    last = max(wanted) + 1
    os.dup2(lifted_error, last, inheritable=False)
    for fd in range(last):
        if fd not in wanted:
            try:
                os.close(fd)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
    os.closerange(last + 1, 2**31 - 1)
    return last


def _set_limits(plan: Launch, identity: Identity | None) -> None:
    limits = dict(plan["rlimits"])
    above = plan["tasksAbovePresent"]
    if above is not None:
        limits["NPROC"] = above + count_tasks(os.getuid() if identity is None else identity["uid"])
    if _has_core_pipe():
        limits["CORE"] = _CORE_PIPE_OFF
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(number)
        allowed = value if hard == resource.RLIM_INFINITY or os.getuid() == 0 else min(value, hard)
        resource.setrlimit(number, (allowed, allowed))


def _has_core_pipe() -> bool:
    """A limit of 0 does not stop a core pattern that is a pipe; the kernel takes exactly 1 as `no dump`."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8", errors="replace") as file:
        return file.read(1) == "|"


def _drop_privileges(surroundings: Surroundings) -> None:
    identity = surroundings.identity
    if identity is not None:
        os.setgroups([])
        os.setresgid(identity["gid"], identity["gid"], identity["gid"])
        os.setresuid(identity["uid"], identity["uid"], identity["uid"])
    kernel.set_no_new_privileges()
    # Changing the uid clears the parent-death signal, so it is set afterwards; a parent that died meanwhile shows in
    # the ppid.
    kernel.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != surroundings.launcher_pid:
        raise OSError(errno.ESRCH, "the launcher has died")
    os.umask(0o077)
