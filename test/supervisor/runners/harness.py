"""Speaks to the real warm interpreter as the supervisor does."""

from __future__ import annotations

import array
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

RUNNERS = os.path.join(os.path.dirname(__file__), "..", "..", "..", "images", "supervisor", "runners", "python")
NOBODY = 65534
TIMEOUT_S = 20.0


class WarmClient:
    """`is_unprivileged` gives up root where the tests have it: for root no file in /proc is closed."""

    def __init__(self, preload: list[str], python: str = sys.executable, *, is_unprivileged: bool = False) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(TIMEOUT_S)
        command = 'exec 3<&"$1"; shift; exec "$@"'
        user = NOBODY if is_unprivileged and os.geteuid() == 0 else None
        runners = RUNNERS
        if user is not None:
            # The checkout and a private Python need not be within that user's reach.
            self.copy = tempfile.TemporaryDirectory(prefix="paddock-runners-")
            runners = shutil.copytree(RUNNERS, os.path.join(self.copy.name, "runners"))
            os.chmod(self.copy.name, 0o755)
            python = "/usr/bin/python3"
        argv = [python, "-I", "-B", "-X", "frozen_modules=on", os.path.join(runners, "warm.py")]
        with theirs:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", command, "bash", str(theirs.fileno()), *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                user=user,
            )
        self.next_id = 0
        self.socket.send(json.dumps({"preload": preload}).encode())
        self.ready = self.receive()

    def receive(self) -> dict:
        return json.loads(self.socket.recv(1 << 16))

    def start(self, cwd: str, *, context: bool = False, rlimits: dict | None = None, stdin: bytes = b"") -> Run:
        self.next_id += 1
        return Run(self, self.next_id, cwd, context, rlimits or {}, stdin)

    def run(self, code: str | bytes, cwd: str = "/tmp", **options: object) -> Outcome:
        env = options.pop("env", {})
        file = options.pop("file", "main.py")
        run = self.start(cwd, **options)
        run.send(code, file=file, env=env)
        return run.finish()

    def close(self) -> None:
        self.socket.close()
        self.process.wait(TIMEOUT_S)


class Outcome:
    def __init__(self) -> None:
        self.result: dict | None = None
        self.rich: list[tuple[str, bytes]] = []
        self.stdout = b""
        self.stderr = b""
        self.wait_status: int | None = None
        self.usage: dict = {}

    @property
    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(self.wait_status)


class Run:
    """One forked child: fresh runs end with `finish`, contexts take several `ask`s first."""

    def __init__(self, client: WarmClient, run_id: int, cwd: str, context: bool, rlimits: dict, stdin: bytes) -> None:
        self.client, self.cwd, self.context = client, cwd, context
        self.payload, child_payload = socket.socketpair()
        stdin_read, stdin_write = os.pipe()
        self.stdout, child_stdout = os.pipe()
        self.stderr, child_stderr = os.pipe()
        os.write(stdin_write, stdin)
        os.close(stdin_write)
        fds = [stdin_read, child_stdout, child_stderr, child_payload.fileno()]
        message = {"id": run_id, "cwd": cwd, "rlimits": rlimits, "context": context}
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        client.socket.sendmsg([json.dumps(message).encode()], rights)
        for fd in fds[:3]:
            os.close(fd)
        child_payload.close()
        started = client.receive()
        assert started["id"] == run_id, started
        self.pid = started["pid"]
        self.buffer = b""
        self.outcome = Outcome()

    def send(
        self, code: str | bytes, *, file: str = "main.py", env: dict | None = None, cwd: str | None = None
    ) -> None:
        header = {"file": file, "env": env or {}, "cwd": cwd or self.cwd, "context": self.context}
        body = code.encode() if isinstance(code, str) else code
        blocks = [json.dumps(header).encode(), body]
        self.payload.sendall(b"".join(len(block).to_bytes(4, "big") + block for block in blocks))

    def ask(self, code: str | bytes, **options: object) -> Outcome:
        """One run of a context, up to its result."""
        self.send(code, **options)
        return self.read_result()

    def read_result(self) -> Outcome:
        outcome = self.outcome = Outcome()
        self.pump(lambda: outcome.result is not None)
        for name in ("stdout", "stderr"):
            fd = getattr(self, name)
            while select.select([fd], [], [], 0)[0] and (data := os.read(fd, 1 << 16)):
                setattr(outcome, name, getattr(outcome, name) + data)
        return outcome

    def finish(self) -> Outcome:
        """Until the process has ended and everything that it wrote is read."""
        self.pump(lambda: False)
        ended = self.client.receive()
        self.outcome.wait_status, self.outcome.usage = ended["wait_status"], ended
        self.close()
        return self.outcome

    def pump(self, is_done) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        names = {self.stdout: "stdout", self.stderr: "stderr", self.payload.fileno(): "payload"}
        while names and not is_done():
            ready = select.select(list(names), [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"nothing came for {TIMEOUT_S} s; stderr: {self.outcome.stderr!r}"
            for fd in ready:
                data = read_some(fd)
                if not data:
                    del names[fd]
                elif names[fd] == "payload":
                    self.buffer += data
                    self.take_frames()
                else:
                    setattr(self.outcome, names[fd], getattr(self.outcome, names[fd]) + data)

    def take_frames(self) -> None:
        while len(self.buffer) >= 5:
            kind, size = self.buffer[0], int.from_bytes(self.buffer[1:5], "big")
            if len(self.buffer) < 5 + size:
                return
            body, self.buffer = self.buffer[5 : 5 + size], self.buffer[5 + size :]
            if kind == 1:
                assert self.outcome.result is None, "a second result"
                self.outcome.result = json.loads(body)
                self.outcome.result_bytes = size
            elif kind == 2:
                mime_end = 1 + body[0]
                self.outcome.rich.append((body[1:mime_end].decode(), body[mime_end:]))

    def close(self) -> None:
        self.payload.close()
        for fd in (self.stdout, self.stderr):
            os.close(fd)


def read_some(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except ConnectionResetError:
        return b""


class WarmTestCase(unittest.TestCase):
    """One warm interpreter for the class, a folder of its own for each test."""

    preload: list[str] = ["json"]

    @classmethod
    def setUpClass(cls) -> None:
        cls.client = WarmClient(cls.preload)
        cls.addClassCleanup(cls.client.close)

    def setUp(self) -> None:
        self.cwd = tempfile.mkdtemp(prefix="paddock-runner-")
        self.addCleanup(shutil.rmtree, self.cwd, ignore_errors=True)

    def run_code(self, code: str | bytes, **options: object) -> Outcome:
        return self.client.run(code, self.cwd, **options)

    def open_context(self) -> Run:
        run = self.client.start(self.cwd, context=True)

        def end() -> None:
            run.payload.shutdown(socket.SHUT_WR)
            self.assertEqual(run.finish().exit_code, 0)

        self.addCleanup(end)
        return run
