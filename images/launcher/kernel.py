"""System calls that the standard library lacks. The launcher has one thread, so every call may keep the interpreter
lock."""

import ctypes
import os
import struct

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME = 1, 2, 4, 8, 32, 1024
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18

_CLONE_NEWNS = 0x00020000
_MNT_DETACH = 2
_CLONE_INTO_CGROUP = 0x2_0000_0000
_SYS_CLONE3 = 435
_SIGCHLD = 17
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 1, 38, 36

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [None if text is None else text.encode() for text in (source, target, kind, options)]
    _check(_libc.mount(arguments[0], arguments[1], arguments[2], flags, arguments[3]), f"mount {target}")


def unmount(target: str) -> None:
    """Lazily: what still uses the mount keeps it, no new path reaches it."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def unshare_mounts() -> None:
    """A mount namespace of our own from which nothing spreads to the host."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare mount namespace")
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def enter_mounts(pid: int) -> None:
    """The mount namespace of another process, from its root on."""
    fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(fd, _CLONE_NEWNS), "setns")
    finally:
        os.close(fd)


def set_parent_death_signal(number: int) -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "PR_SET_PDEATHSIG")


def set_no_new_privileges() -> None:
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")


def set_child_subreaper() -> None:
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def fork_into_group(directory: str) -> int:
    """Like `os.fork`, but the child is born in the cgroup v2 group. Raises OSError where the kernel refuses clone3."""
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        packed = struct.pack("=11Q", _CLONE_INTO_CGROUP, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, group)
        block = ctypes.create_string_buffer(packed, len(packed))
        return _check(_libc.syscall(_SYS_CLONE3, ctypes.byref(block), ctypes.c_size_t(len(packed))), "clone3")
    finally:
        os.close(group)
