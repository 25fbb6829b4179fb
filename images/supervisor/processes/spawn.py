"""Starts a process: a session of its own, descriptors 0 to 2 and nothing else, limits, and errors a shell would give.

Two ways. Without limits and terminal the interpreter's own vfork does it, in 0.5 ms; copying our page tables and the
faults after it cost 0.6 ms more, so fork by hand is only for what needs code between fork and exec.
"""

from __future__ import annotations

import errno
import os

from cpython import SIG_DFL, SIGPIPE, SIGXFSZ, find_fork_exec, set_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

NOT_FOUND_STATUS = 127
CANNOT_RUN_STATUS = 126
OOM_SCORE = b"500"
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

_LIMITS = {
    "cpu_seconds": "RLIMIT_CPU",
    "open_files": "RLIMIT_NOFILE",
    "file_bytes": "RLIMIT_FSIZE",
    "address_bytes": "RLIMIT_AS",
}

_oom_score_fd = -1
_failure_ends: tuple[int, int] | None = None


_fork_exec = find_fork_exec()


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


class Child:
    """`exit_code` is set when the child could not become the program and already said so on its descriptor 2."""

    __slots__ = ("pid", "exit_code")

    def __init__(self, pid: int, exit_code: int | None = None) -> None:
        self.pid = pid
        self.exit_code = exit_code


def spawn(plan: Plan) -> Child:
    """Raises OSError only when there is no child (for one: too many processes)."""
    if plan.rlimits or plan.controls_terminal or len(plan.descriptors) > 3 or _fork_exec is None:
        return Child(_fork_by_hand(plan))
    _set_oom_score(OOM_SCORE)
    try:
        pid = _spawn_by_vfork(plan)
    finally:
        _set_oom_score(b"0")
    try:
        failure = os.read(_failure_pipe()[0], 256)
    except BlockingIOError:  # our child ran or failed before vfork returned, so silence means success
        return Child(pid)
    status, message = _explain_failure(failure, plan)
    os.write(plan.descriptors[2], _complaint(plan, message))
    return Child(pid, status)


def _spawn_by_vfork(plan: Plan) -> int:
    assert _fork_exec is not None
    arguments = [os.fsencode(argument) for argument in plan.argv]
    environment = [os.fsencode(f"{name}={value}") for name, value in plan.env.items()]
    candidates = tuple(os.fsencode(path) for path in _candidates(plan))
    stdin, stdout, stderr = plan.descriptors
    return _fork_exec(
        arguments, candidates, False, (), plan.cwd, environment,
        stdin, -1, -1, stdout, -1, stderr, *_failure_pipe(),
        True, True, -1, None, None, None, -1, None, True,
    )  # fmt: skip


def _failure_pipe() -> tuple[int, int]:
    global _failure_ends
    if _failure_ends is None:
        _failure_ends = os.pipe()
        os.set_blocking(_failure_ends[0], False)
    return _failure_ends


def _explain_failure(failure: bytes, plan: Plan) -> tuple[int, str]:
    """`failure` is what the interpreter's child writes: class, errno in hex, and `noexec` when it came no further."""
    _, number, step = failure.split(b":", 2)
    if step == b"noexec":
        return CANNOT_RUN_STATUS, f"{os.strerror(int(number, 16))}: {plan.cwd}"
    return _explain_errno(int(number, 16), plan)


def _explain_errno(number: int, plan: Plan) -> tuple[int, str]:
    if number in (0, errno.ENOENT, errno.ENOTDIR):
        return NOT_FOUND_STATUS, "not found" if plan.argv[0] else "an empty name"
    return CANNOT_RUN_STATUS, os.strerror(number)


def _complaint(plan: Plan, message: str) -> bytes:
    return f"paddock: {plan.argv[0][:256]}: {message}\n".encode("utf-8", "replace")


def _candidates(plan: Plan) -> list[str]:
    """The paths under which the program may be found, as a shell would look for it."""
    name = plan.argv[0]
    if "/" in name:
        return [name]
    folders = plan.env.get("PATH", DEFAULT_PATH).split(":") if name else []
    return [f"{folder or '.'}/{name}" for folder in folders] or ["/nonexistent"]


def _fork_by_hand(plan: Plan) -> int:
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
            os.write(2, _complaint(plan, message))
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
    number = 0
    for path in _candidates(plan) if plan.argv[0] else []:
        try:
            os.execve(path, list(plan.argv), plan.env)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                number = error.errno or errno.EIO
    return _explain_errno(number, plan)
