"""Control groups of one sandbox. Which ones, and what is written into them, the owner decides (cgroups.ts)."""

import errno
import os
import signal
from typing import TypedDict

_MEMORY_PER_SOCKETS = 4
_SHARE_OF_TASKS, _SHARE_OF_MEMORY = 0.75, 0.9


class Group(TypedDict):
    path: str
    """File name and value pairs, in order. A file that the kernel lacks is skipped when its name ends in `?`."""
    writes: list[list[str]]
    """How a process joins: `tasks` (v1) or `clone` (v2, born there)."""
    join: str


class Parent(TypedDict):
    path: str
    """Controllers to hand down, as written to `cgroup.subtree_control`; empty under v1."""
    controllers: list[str]


def write_file(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def ensure_parents(parents: list[Parent]) -> None:
    """Makes the groups that hold ours, and hands controllers down to them and below them."""
    for parent in parents:
        _hand_down(os.path.dirname(parent["path"]), parent["controllers"])
        try:
            os.mkdir(parent["path"], 0o755)
        except FileExistsError:
            pass
        _bound_sum(parent["path"])
        _hand_down(parent["path"], parent["controllers"])


def _bound_sum(directory: str) -> None:
    """All sandboxes together leave the machine's other processes some of it, whatever the sum of their limits is."""
    tasks = min(_read_number("/proc/sys/kernel/pid_max"), _read_number("/proc/sys/kernel/threads-max"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    bounds = {
        "pids.max": int(tasks * _SHARE_OF_TASKS),
        "memory.max": int(memory * _SHARE_OF_MEMORY),
        "memory.limit_in_bytes": int(memory * _SHARE_OF_MEMORY),
    }
    for name, value in bounds.items():
        path = os.path.join(directory, name)
        if not os.path.exists(path):
            continue
        try:
            write_file(path, str(value))
        except OSError as error:
            # It holds more than that already, and the kernel could not take it away.
            if error.errno != errno.EBUSY:
                raise


def _read_number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


def _hand_down(directory: str, controllers: list[str]) -> None:
    if not controllers:
        return
    control = os.path.join(directory, "cgroup.subtree_control")
    with open(control, encoding="ascii") as file:
        present = file.read().split()
    for controller in controllers:
        if controller not in present:
            write_file(control, f"+{controller}")


def make_groups(groups: list[Group], parents: list[Parent]) -> None:
    for group in groups:
        try:
            os.mkdir(group["path"], 0o755)
        except FileNotFoundError:
            ensure_parents(parents)
            os.mkdir(group["path"], 0o755)
        for name, value in group["writes"]:
            path = os.path.join(group["path"], name.removesuffix("?"))
            if name.endswith("?") and not os.path.exists(path):
                continue
            write_file(path, value)


def limit_sockets(directories: list[str]) -> None:
    """For groups that an engine made. Only version 1 counts sockets apart; no runtime limits them any more."""
    for directory in directories:
        path = os.path.join(directory, "memory.kmem.tcp.limit_in_bytes")
        if not os.path.exists(path):
            continue
        with open(os.path.join(directory, "memory.limit_in_bytes"), encoding="ascii") as file:
            write_file(path, str(int(file.read()) // _MEMORY_PER_SOCKETS))


def join_by_tasks(groups: list[Group]) -> None:
    """The calling process joins. Writing 0 to `tasks` costs a fiftieth of writing a pid to `cgroup.procs`."""
    for group in groups:
        if group["join"] == "tasks":
            write_file(os.path.join(group["path"], "tasks"), "0")


def join_by_procs(group: Group) -> None:
    write_file(os.path.join(group["path"], "cgroup.procs"), "0")


def list_members(directories: list[str]) -> set[int]:
    members: set[int] = set()
    for directory in directories:
        try:
            with open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as file:
                members.update(int(line) for line in file)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
    return members


def kill_members(directories: list[str]) -> None:
    """One write where the kernel has `cgroup.kill`; then every member that is still listed, by pidfd."""
    for directory in directories:
        try:
            write_file(os.path.join(directory, "cgroup.kill"), "1")
        except OSError:
            continue
    for pid in list_members(directories):
        _kill_member(pid, os.path.basename(directories[0]))


def _kill_member(pid: int, name: str) -> None:
    """The pid may have gone to another process since it was listed, so membership is read again under the pidfd."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            if f"/{name}\n" in file.read():
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
    finally:
        os.close(pidfd)


def remove_groups(directories: list[str]) -> bool:
    """False while the kernel still holds one of them (EBUSY right after a kill)."""
    done = True
    for directory in directories:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            done = False
    return done


def remove_parents(parents: list[Parent]) -> None:
    for parent in parents:
        try:
            os.rmdir(parent["path"])
        except OSError:
            continue
