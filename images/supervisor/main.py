"""The supervisor's start: closes itself to the guest, takes its key, dials home, serves until it is killed or its one
stream ends."""

from __future__ import annotations

import gc
import os

from channel.dialer import Dialer
from channel.line import SocketHost
from cpython import SIG_DFL, SIG_IGN, SIGCHLD, SIGINT, SIGPIPE, load, set_signal, set_wakeup_fd
from dispatch import Dispatcher
from json_text import decode_object
from loop import Loop
from processes.ledger import Ledger
from processes.reaper import Reaper
from processes.spawn import prepare_spawning
from processes.table import ProcessTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from channel.calls import Fields
    from channel.line import Line

PR_SET_DUMPABLE = 4
FIRST_LINE_LIMIT = 64 * 1024
FIRST_HIGH_DESCRIPTOR = 64
TRACE_VARIABLE = "PADDOCK_SUPERVISOR_TRACE"


def main() -> None:
    prepare_spawning()
    _make_undumpable()
    set_signal(SIGINT, SIG_DFL)
    set_signal(SIGPIPE, SIG_IGN)
    os.umask(0o022)
    first = decode_object(_read_line(0))
    key = first.get("key")
    if not isinstance(key, str) or len(key) != 32:
        raise SystemExit("the first line holds no key")
    loop = Loop()
    loop.trace_path = os.environ.get(TRACE_VARIABLE)
    ledger = Ledger()
    table = ProcessTable(loop, ledger)
    reaper = Reaper(loop)
    dialer = Dialer(loop, _find_host(loop, first), bytes.fromhex(key))
    dispatcher = Dispatcher(loop, dialer, ledger, table, reaper)
    _reap_on_signal(loop, reaper)
    dialer.start(dispatcher.serve)
    gc.collect()
    gc.freeze()
    loop.run()


def _make_undumpable() -> None:
    """From now on no process of this uid opens our memory, environment or descriptors. Raises OSError if refused."""
    if load("prctl")(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_DUMPABLE) was refused")


def _find_host(loop: Loop, first: Fields) -> Callable[[], Line]:
    """What dials the host. From here on our descriptors 0 to 2 lead nowhere."""
    path = first.get("socket")
    if isinstance(path, str):
        _replace_standard_descriptors()
        return SocketHost(loop, path).dial
    if first.get("channel") != "stdio":
        raise SystemExit("the first line names no channel")
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    from channel.mux import Mux

    ends = [fcntl(fd, F_DUPFD_CLOEXEC, FIRST_HIGH_DESCRIPTOR) for fd in (0, 1)]
    _replace_standard_descriptors()
    return Mux(loop, ends[0], ends[1], loop.stop).dial


def _read_line(fd: int) -> bytes:
    """Byte by byte up to its end: nothing of what follows is taken."""
    line = bytearray()
    while len(line) < FIRST_LINE_LIMIT:
        byte = os.read(fd, 1)
        if not byte or byte == b"\n":
            return bytes(line)
        line += byte
    raise SystemExit("the first line is too long")


def _replace_standard_descriptors() -> None:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _reap_on_signal(loop: Loop, reaper: Reaper) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    set_wakeup_fd(writer, warn_on_full_buffer=False)
    set_signal(SIGCHLD, lambda _number, _frame: None)

    def reap(_events: int) -> None:
        try:
            os.read(reader, 4096)
        except BlockingIOError:
            pass
        reaper.reap()

    loop.watch(reader, reap, read=True)
