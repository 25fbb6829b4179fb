"""The warm Python interpreter: imports a template's preload list once, then forks one child for each run.

Protocol (docs/protocol.md is about the host; this one is between the supervisor and this program): descriptor 3
is an AF_UNIX SOCK_SEQPACKET socket, one JSON object per message.
  in   {"preload": [name, ..]}                              first message
  out  {"ready": true, "failed": [{"name", "message"}], "threads": n}
  in   {"id", "cwd", "rlimits", "context"} + descriptors [stdin, stdout, stderr, payload]
  out  {"id", "pid"} or {"id", "error"}, and after a pid {"id", "wait_status", "user_us", "system_us", "max_rss_bytes"}
It ends when descriptor 3 reaches its end. It never reads a payload: only the forked child does, so that no run can
find the code of another in this process's memory.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


CONTROL_FD = 3
MAX_MESSAGE_BYTES = 1 << 16
DESCRIPTORS_PER_RUN = 4
RUNNERS = os.path.dirname(os.path.abspath(__file__))

# A package of its own keeps plain names such as `rich` or `payload` free for guest code; it is never on sys.path.
_package = types.ModuleType("_paddock_runners")
_package.__path__ = [RUNNERS]
sys.modules["_paddock_runners"] = _package
sys.path[:] = [entry for entry in sys.path if entry not in ("", RUNNERS)]

from _paddock_runners import child, preload  # noqa: E402


class Warm:
    """The control loop. Single-threaded, because what forks must be."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.runs: dict[int, object] = {}
        self.wakeup_read, self.wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self.wakeup_write, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        poller.register(self.wakeup_read, select.POLLIN)
        while True:
            for fd, _event in poller.poll():
                if fd == self.wakeup_read:
                    os.read(self.wakeup_read, 4096)
                    self.report_ended()
                elif not self.accept_run():
                    return

    def accept_run(self) -> bool:
        room = socket.CMSG_SPACE(DESCRIPTORS_PER_RUN * 4)
        data, ancillary, flags, _address = self.control.recvmsg(MAX_MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
        fds = [fd for _level, _type, item in ancillary for fd in array.array("i", item[: len(item) // 4 * 4])]
        if not data:
            return False
        try:
            self.start_run(json.loads(data), fds, bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)))
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def start_run(self, message: dict[str, Any], fds: list[int], is_cut: bool) -> None:
        if is_cut or len(fds) != DESCRIPTORS_PER_RUN:
            self.send({"id": message.get("id"), "error": "a run needs exactly four descriptors"})
            return
        try:
            pid = os.fork()
        except OSError as error:
            self.send({"id": message["id"], "error": f"fork failed: {error.strerror}"})
            return
        if pid == 0:
            self.become_child(message, fds)
        self.runs[pid] = message["id"]
        self.send({"id": message["id"], "pid": pid})
        preload.reseed_random()

    def become_child(self, message: dict[str, Any], fds: list[int]) -> None:
        signal.set_wakeup_fd(-1)
        # Detached, not closed: a finaliser must not close a number that guest code may own by then.
        self.control.detach()
        child.run(message, fds)

    def report_ended(self) -> None:
        while self.runs:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid not in self.runs:
                continue
            self.send(
                {
                    "id": self.runs.pop(pid),
                    "wait_status": status,
                    "user_us": round(usage.ru_utime * 1e6),
                    "system_us": round(usage.ru_stime * 1e6),
                    "max_rss_bytes": usage.ru_maxrss * 1024,
                }
            )

    def send(self, message: dict[str, Any]) -> None:
        self.control.send(json.dumps(message).encode())


def main() -> None:
    child.set_dumpable(False)
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]
    gc.disable()
    control = socket.socket(fileno=CONTROL_FD)
    os.set_inheritable(CONTROL_FD, False)
    first = control.recv(MAX_MESSAGE_BYTES)
    if not first:
        return
    warm = Warm(control)
    report = preload.preload(json.loads(first)["preload"])
    gc.collect()
    gc.freeze()
    warm.send({"ready": True, **report})
    warm.serve()


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError):
        main()
    os._exit(0)
