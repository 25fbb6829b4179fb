"""What the host itself sees of a process. Nothing here comes from inside a sandbox."""

import os

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def read_status(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def read_start_time(pid: int) -> int:
    """Clock ticks since boot: together with the pid it names one process for good."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def find_breach(pid: int, status: dict[str, str], uid: int) -> str | None:
    """The first protection that pid 1 of a sandbox lacks."""
    expected = {"NoNewPrivs": "1", "Seccomp": "2"}
    for field, value in expected.items():
        if status.get(field) != value:
            return f"{field} is {status.get(field)}, expected {value}"
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status.get(field, "1"), 16) != 0:
            return f"{field} is {status.get(field)}, expected 0"
    uids = set(status.get("Uid", "").split())
    if uids != {str(uid)}:
        return f"host uid is {' '.join(sorted(uids))}, expected {uid}"
    for namespace in _NAMESPACES:
        if os.readlink(f"/proc/{pid}/ns/{namespace}") == os.readlink(f"/proc/self/ns/{namespace}"):
            return f"the {namespace} namespace is the host's"
    return None


def same_process(pid: int, start_time: int) -> bool:
    try:
        return read_start_time(pid) == start_time
    except (OSError, ValueError, IndexError):
        return False
