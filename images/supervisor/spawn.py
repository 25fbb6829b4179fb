"""fork and exec by hand: a session of its own, descriptors 0 to 2 and nothing else, limits, and errors a shell would give."""

from __future__ import annotations

import errno
import os
from _signal import SIG_DFL, SIGPIPE, SIGXFSZ
from _signal import signal as set_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

NOT_FOUND_STATUS = 127
CANNOT_RUN_STATUS = 126
NICENESS = 5
OOM_SCORE = b"500"
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

_LIMITS = {"cpu_seconds": "RLIMIT_CPU", "open_files": "RLIMIT_NOFILE", "file_bytes": "RLIMIT_FSIZE", "address_bytes": "RLIMIT_AS"}

_oom_score_fd = -1


def prepare_spawning() -> None:
    """Opens our own oom_score_adj. Only possible while we are dumpable: afterwards the file belongs to root."""
    global _oom_score_fd
    try:
        _oom_score_fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        pass


def _set_oom_score(score: bytes) -> None:
    """Best effort. Children inherit it, so it is raised around a fork: the kernel then takes them before us."""
    if _oom_score_fd >= 0:
        try:
            os.pwrite(_oom_score_fd, score, 0)
        except OSError:
            pass


class Plan:
    """What to start. `descriptors` become 0, 1, 2 (and 3); the first is a terminal's end when `controls_terminal`."""

    __slots__ = ("argv", "env", "cwd", "descriptors", "controls_terminal", "rlimits")

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        descriptors: Sequence[int],
        *,
        controls_terminal: bool = False,
        rlimits: Mapping[str, int] | None = None,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.descriptors = descriptors
        self.controls_terminal = controls_terminal
        self.rlimits = rlimits or {}


def spawn(plan: Plan) -> int:
    """The pid of a child that becomes `plan`. Raises OSError only when there is no child (for one: too many processes)."""
    if plan.rlimits:
        import resource  # noqa: F401 (before the fork, so that the child need not import)
    _set_oom_score(OOM_SCORE)
    try:
        pid = os.fork()
    finally:
        _set_oom_score(b"0")
    if pid == 0:
        _become(plan)
    return pid


def _become(plan: Plan) -> NoReturn:
    """In the child. Never returns and never raises: what goes wrong is said on the new descriptor 2."""
    status = CANNOT_RUN_STATUS
    message = "cannot be started"
    try:
        os.setsid()
        _arrange_descriptors(plan)
        _apply_limits(plan)
        os.chdir(plan.cwd)
        set_signal(SIGPIPE, SIG_DFL)
        set_signal(SIGXFSZ, SIG_DFL)
        status, message = _exec(plan)
    except OSError as error:
        message = f"{os.strerror(error.errno or 0)}" + (f": {error.filename}" if error.filename else "")
    except BaseException as error:
        message = repr(error)
    finally:
        try:
            os.write(2, f"paddock: {plan.argv[0]}: {message}\n".encode("utf-8", "replace"))
        finally:
            os._exit(status)


def _arrange_descriptors(plan: Plan) -> None:
    if plan.controls_terminal:
        import fcntl
        import termios

        fcntl.ioctl(plan.descriptors[0], termios.TIOCSCTTY, 0)
    for target, fd in enumerate(plan.descriptors):
        if fd == target:
            os.set_inheritable(fd, True)
        else:
            os.dup2(fd, target)
    os.closerange(len(plan.descriptors), os.sysconf("SC_OPEN_MAX"))


def _apply_limits(plan: Plan) -> None:
    try:
        os.nice(NICENESS)
    except OSError:
        pass
    if not plan.rlimits:
        return
    import resource

    for name, value in plan.rlimits.items():
        which = getattr(resource, _LIMITS[name])
        hard = resource.getrlimit(which)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (limit, limit))


def _exec(plan: Plan) -> tuple[int, str]:
    """Only returns on failure, with the status and message of a shell."""
    name = plan.argv[0]
    folders = [""] if "/" in name else plan.env.get("PATH", DEFAULT_PATH).split(":")
    found: OSError | None = None
    for folder in folders if name else []:
        try:
            os.execve(f"{folder}/{name}" if folder else name, plan.argv, plan.env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                found = error
    if found is None:
        return NOT_FOUND_STATUS, "not found" if name else "an empty name"
    return CANNOT_RUN_STATUS, os.strerror(found.errno or 0)
