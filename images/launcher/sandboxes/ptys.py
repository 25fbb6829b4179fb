"""How many terminals a sandbox may open: without a bound of its own it takes those of the whole machine."""

import os
from typing import Any

import kernel

MAX_PTYS = 64
_FLAGS = {"nosuid": kernel.MS_NOSUID, "noexec": kernel.MS_NOEXEC}
_FIXED = ("rw", "ro")

Instance = tuple[int, int, str]
"""Device, mount flags and options."""


def mount_terminals() -> None:
    """For what this process becomes: nobody outside of its mount namespace sees it."""
    flags = kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("devpts", "/dev/pts", "devpts", flags, f"newinstance,mode=620,ptmxmode=666,max={MAX_PTYS}")


def find_instance(pid: int) -> Instance | None:
    """The `/dev/pts` that an engine made for a container. None where there is none, or it is this machine's own."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            before, _, after = line.rstrip("\n").partition(" - ")
            fields, (kind, _, options) = before.split(" "), after.split(" ", 2)
            if fields[4] == "/dev/pts" and kind == "devpts":
                major, minor = fields[2].split(":")
                device = os.makedev(int(major), int(minor))
                flags = sum(_FLAGS.get(flag, 0) for flag in fields[5].split(","))
                return None if device == _own_device() else (device, flags, options)
    return None


def _own_device() -> int:
    try:
        return os.stat("/dev/pts").st_dev
    except OSError:
        return -1


def bound_terminals(pid: int, instance: Instance) -> dict[str, Any]:
    """Leaves this process in the sandbox's mount namespace: to be run in a child."""
    device, flags, options = instance
    kept = [option for option in options.split(",") if option not in _FIXED and not option.startswith("max=")]
    kernel.enter_mounts(pid)
    if os.stat("/dev/pts").st_dev != device:
        raise OSError("/dev/pts is another than the one that was seen")
    kernel.mount("devpts", "/dev/pts", "devpts", flags | kernel.MS_REMOUNT, ",".join([*kept, f"max={MAX_PTYS}"]))
    return {}
