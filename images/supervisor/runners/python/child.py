"""Turns a fork of the warm interpreter into the process of one run, then hands over to the runner."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import resource
import signal
import traceback

from . import runner_python

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


PR_SET_DUMPABLE = 4
FIRST_PAYLOAD_FD = 64
NICE_STEP = 5
OOM_SCORE_ADJ = b"500"
SETUP_FAILED_EXIT_CODE = 70

_libc = ctypes.CDLL(None, use_errno=True)


def set_dumpable(is_dumpable: bool) -> None:
    if _libc.prctl(PR_SET_DUMPABLE, int(is_dumpable), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


def run(message: dict[str, Any], fds: list[int]) -> None:
    """Never returns: whatever happens in here, the forked copy of the warm interpreter's loop must not go on."""
    try:
        os.setsid()
        payload_fd = take_descriptors(fds)
        reset_signals()
        set_dumpable(True)
        lower_priority()
        os.chdir(message["cwd"])
        set_limits(message.get("rlimits") or {})
        gc.enable()
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        os._exit(SETUP_FAILED_EXIT_CODE)
    runner_python.run(payload_fd)


def take_descriptors(fds: list[int]) -> int:
    """Afterwards 0 to 2 and the payload are the only open descriptors."""
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target, inheritable=True)
    payload_fd = fcntl.fcntl(fds[3], fcntl.F_DUPFD_CLOEXEC, FIRST_PAYLOAD_FD)
    os.closerange(3, payload_fd)
    os.closerange(payload_fd + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return payload_fd


def reset_signals() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def lower_priority() -> None:
    """Best effort: the supervisor stays responsive, and the kernel takes the run before it takes the supervisor."""
    with contextlib.suppress(OSError):
        os.nice(NICE_STEP)
    with contextlib.suppress(OSError):
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, OOM_SCORE_ADJ)
        finally:
            os.close(fd)


def set_limits(limits: dict[str, Any]) -> None:
    # One second between soft and hard: SIGXCPU names the cause, SIGKILL would not.
    for name, kind, grace in (
        ("cpu_seconds", resource.RLIMIT_CPU, 1),
        ("open_files", resource.RLIMIT_NOFILE, 0),
        ("file_bytes", resource.RLIMIT_FSIZE, 0),
        ("address_bytes", resource.RLIMIT_AS, 0),
    ):
        limit = limits.get(name)
        if limit is not None:
            hard = resource.getrlimit(kind)[1]
            highest = limit + grace if hard == resource.RLIM_INFINITY else min(limit + grace, hard)
            resource.setrlimit(kind, (min(limit, highest), highest))
