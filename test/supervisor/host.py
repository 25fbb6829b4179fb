"""The host's side of the channel for tests: starts a supervisor as pid 1 under bubblewrap and speaks to it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import os
import queue
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams import Stream, Streams

REPOSITORY = Path(__file__).resolve().parents[2]
SUPERVISOR = REPOSITORY / "images" / "supervisor"
PYTHON = "/usr/bin/python3"
GUEST_UID = 64123
CONTROL, DATA, STDOUT, STDERR, END = 1, 2, 3, 4, 5
TIMEOUT_SECONDS = 20.0
TRANSPORT = os.environ.get("PADDOCK_TEST_TRANSPORT", "socket")
"""`socket` or `stdio`: the same tests run over both."""

RUN_SECONDS, STOP_SECONDS = 0.001, 0.079
"""Turns of a starved supervisor."""

_call_numbers = itertools.count(1)


class Lost(Exception):
    """The connection is gone."""


@dataclass
class Result:
    """Everything one call sent."""

    answer: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    stdout: bytes = b""
    stderr: bytes = b""
    data: bytes = b""
    frames: int = 0

    def event(self, op: str) -> dict[str, Any]:
        return next(event for event in self.events if event["op"] == op)


class Link:
    """One accepted connection."""

    def __init__(self, sock: socket.socket | Stream) -> None:
        self.sock = sock
        sock.settimeout(TIMEOUT_SECONDS)
        self.role = ""
        self.call_id = ""
        self._buffer = bytearray()

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.sock.sendall(struct.pack(">IBI", len(payload), kind, 0) + payload)

    def send_control(self, fields: dict[str, Any]) -> None:
        self.send(CONTROL, json.dumps(fields).encode())

    def read_frame(self) -> tuple[int, bytes]:
        length, kind, stream = struct.unpack(">IBI", self._read_exactly(9))
        assert stream == 0, stream
        assert length <= (65536 if kind == CONTROL else 1 << 20), (kind, length)
        return kind, self._read_exactly(length)

    def read_control(self) -> dict[str, Any]:
        kind, payload = self.read_frame()
        assert kind == CONTROL, (kind, payload[:80])
        return json.loads(payload)

    def _read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            chunk = self.sock.recv(1 << 18)
            if not chunk:
                raise Lost
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def close(self) -> None:
        self.sock.close()


class HostCall:
    """A request on a connection; `finish` collects the rest and gives the connection back."""

    def __init__(self, host: Host, link: Link, request: dict[str, Any]) -> None:
        self.host = host
        self.link = link
        self.id: str = request["call"]
        self.result = Result({})
        link.send_control(request)

    def step(self) -> tuple[int, Any]:
        kind, payload = self.link.read_frame()
        self.result.frames += 1
        if kind == CONTROL:
            fields = json.loads(payload)
            if fields["op"] in ("done", "failed"):
                self.result.answer = fields
            else:
                self.result.events.append(fields)
            return kind, fields
        if kind == STDOUT:
            self.result.stdout += payload
        elif kind == STDERR:
            self.result.stderr += payload
        elif kind == DATA:
            self.result.data += payload
        return kind, payload

    def wait_event(self, op: str) -> dict[str, Any]:
        while True:
            kind, fields = self.step()
            if kind == CONTROL and fields["op"] == op:
                return fields
            assert not self.result.answer, self.result.answer

    def wait_output(self, text: bytes) -> None:
        while text not in self.result.stdout:
            self.step()
            assert not self.result.answer, (self.result.answer, self.result.stdout)

    def finish(self) -> Result:
        while not self.result.answer:
            self.step()
        self.host.release(self.link)
        return self.result

    def send_data(self, payload: bytes) -> None:
        for start in range(0, len(payload), 1 << 20):
            self.link.send(DATA, payload[start : start + (1 << 20)])

    def end(self) -> None:
        self.link.send(END)

    def control(self, **fields: Any) -> None:
        self.link.send_control(fields)


class Host:
    """One sandbox. Use it as a context manager."""

    def __init__(
        self,
        *,
        key: str | None = None,
        given_key: str | None = None,
        init: bool = True,
        supervisor: Path = SUPERVISOR,
        bindings: tuple[str, ...] = (),
        settings: dict[str, Any] | None = None,
        transport: str = TRANSPORT,
    ) -> None:
        self.transport = transport
        self.key = key or secrets.token_hex(16)
        self.given_key = given_key or self.key
        self.folder = Path(tempfile.mkdtemp(prefix="paddock-supervisor-"))
        self.workspace = self.folder / "workspace"
        self.failed_handshakes = 0
        self.handshakes = 0
        self.relays: queue.Queue[Link] = queue.Queue()
        self._idle: queue.Queue[Link] = queue.Queue()
        self._links: set[Link] = set()
        self._lock = threading.Lock()
        self._supervisor = supervisor
        self._bindings = bindings
        self._init = init
        self._settings = settings or {}
        self._closing = False

    def __enter__(self) -> Host:
        try:
            self._start()
            if self._init:
                self.init()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Life

    def _start(self) -> None:
        run = self.folder / "run"
        for folder in (run, self.workspace):
            folder.mkdir()
        copy = self.folder / "supervisor"
        shutil.copytree(self._supervisor, copy)
        subprocess.run([PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", copy], check=True)
        if self.transport == "socket":
            self.listen()
        if os.getuid() == 0:
            os.chmod(self.folder, 0o711)
            for path in (run, self.workspace, *run.iterdir()):
                os.chown(path, GUEST_UID, GUEST_UID)
        self.started_at = time.perf_counter()
        self.process = subprocess.Popen(
            self._bubblewrap(run, copy),
            stdin=subprocess.PIPE,
            **({} if self.transport == "socket" else {"stdout": subprocess.PIPE}),
            **({"user": GUEST_UID, "group": GUEST_UID, "extra_groups": []} if os.getuid() == 0 else {}),
        )
        assert self.process.stdin is not None
        way = {"socket": "/run/paddock/host.sock"} if self.transport == "socket" else {"channel": "stdio"}
        self.process.stdin.write(json.dumps({"key": self.given_key, **way}).encode() + b"\n")
        if self.transport == "socket":
            self.process.stdin.close()
            return
        assert self.process.stdout is not None
        self.process.stdin.flush()
        ends = [os.dup(end.fileno()) for end in (self.process.stdout, self.process.stdin)]
        self.process.stdin.close()
        self.process.stdout.close()
        self.streams = Streams(*ends, self._opened)

    def _bubblewrap(self, run: Path, supervisor: Path) -> list[str]:
        trace = os.environ.get("PADDOCK_TEST_TRACE")
        return [
            "bwrap", "--unshare-user", "--unshare-all", "--as-pid-1", "--die-with-parent", "--new-session",
            "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "box",
            "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
            "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
            "--ro-bind", str(supervisor), "/opt/paddock/supervisor", "--ro-bind", str(run), "/run/paddock",
            *self._bindings, "--bind", str(self.workspace), "/workspace", "--chdir", "/workspace", "--clearenv",
            *(["--bind", trace, trace, "--setenv", "PADDOCK_SUPERVISOR_TRACE", f"{trace}/trace"] if trace else []),
            PYTHON, "-I", "-S", "-B", "/opt/paddock/supervisor/__main__.py",
        ]  # fmt: skip

    def listen(self) -> None:
        path = str(self.folder / "run" / "host.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        if os.getuid() == 0:
            os.chown(path, GUEST_UID, GUEST_UID)
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def drop_connections(self) -> None:
        with self._lock:  # what is dialed from here on belongs to the time after
            links, self._links = self._links, set()
            while not self._idle.empty():
                self._idle.get()
        for link in links:
            link.close()

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(AttributeError):
            self.stop_listening()
        self.drop_connections()
        with contextlib.suppress(AttributeError):
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        problem = getattr(self, "streams", None) and self.streams.problem
        assert problem is None, f"the supervisor broke the rules of its streams: {problem!r}"

    def _opened(self, stream: Stream) -> None:
        threading.Thread(target=self._welcome, args=(stream,), daemon=True).start()

    def _welcome(self, sock: socket.socket | Stream) -> None:
        link = Link(sock)
        try:
            self._shake_hands(link)
        except (Lost, OSError, AssertionError, KeyError):
            self.failed_handshakes += 1
            link.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._welcome(sock)

    def _shake_hands(self, link: Link) -> None:
        nonce = secrets.token_hex(16)
        link.send_control({"op": "challenge", "protocol": 1, "nonce": nonce})
        proof = link.read_control()
        text = f"paddock/1\n{nonce}\n{proof['role']}\n{proof.get('call', '')}"
        assert proof["op"] == "proof"
        assert set(proof) == {"op", "mac", "role"} | ({"call"} if proof["role"] == "relay" else set())
        mac = hmac.new(bytes.fromhex(self.key), text.encode(), hashlib.sha256).hexdigest()
        assert hmac.compare_digest(mac, proof["mac"]), "a wrong proof"
        link.role, link.call_id = proof["role"], proof.get("call", "")
        link.send_control({"op": "welcome"})
        self.handshakes += 1
        with self._lock:
            self._links.add(link)
            (self._idle if link.role == "call" else self.relays).put(link)

    # Calls

    def take(self, timeout: float = TIMEOUT_SECONDS) -> Link:
        return self._idle.get(timeout=timeout)

    def release(self, link: Link) -> None:
        link.send_control({"op": "release"})
        self._idle.put(link)

    def call(self, op: str, **fields: Any) -> HostCall:
        request = {"op": op, "call": f"call_{next(_call_numbers)}.1", **fields}
        return HostCall(self, self.take(), request)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        return self.call(op, **fields).finish().answer

    def init(self, **changes: Any) -> dict[str, Any]:
        settings = {
            "hostname": "box", "workspace": "/workspace", "env": {"LANG": "C.UTF-8"}, "python": None,
            "javascript": None, "spill_bytes": 64 << 20, **self._settings, **changes,
        }  # fmt: skip
        return self.ask("init", **settings)

    def start(self, *argv: str, **changes: Any) -> HostCall:
        return self.call("start", **{**start_fields(argv), **changes})

    def run(self, *argv: str, **changes: Any) -> Result:
        return self.start(*argv, **changes).finish()

    def shell(self, script: str, **changes: Any) -> Result:
        return self.run("/bin/sh", "-c", script, **changes)

    def python(self, script: str, **changes: Any) -> Result:
        return self.run(PYTHON, "-I", "-c", script, **changes)

    # Facts about the supervisor, from outside

    @property
    def supervisor_pid(self) -> int:
        """Its pid on the host: the child that bubblewrap made."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def memory_kb(self, name: str) -> int:
        rollup = Path(f"/proc/{self.supervisor_pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{name}:"))


def socket_only(reason: str) -> Callable[[Any], Any]:
    return unittest.skipIf(TRANSPORT != "socket", f"over sockets only: {reason}")


def start_fields(argv: tuple[str, ...]) -> dict[str, Any]:
    return {
        "argv": list(argv), "cwd": ".", "env": {}, "stdin": False, "pty": None, "rlimits": {}, "deadline_ms": None,
        "background": False, "live_bytes": None,
    }  # fmt: skip


def wait_until(condition: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> None:
    """For facts that no event announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)


@contextlib.contextmanager
def altered(file: str, old: str, new: str) -> Iterator[Path]:
    """A copy of the supervisor with another constant, for what would take long otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "supervisor"
        shutil.copytree(SUPERVISOR, copy)
        source = (copy / file).read_text()
        assert old in source
        (copy / file).write_text(source.replace(old, new))
        yield copy


@contextlib.contextmanager
def starved(pid: int) -> Iterator[None]:
    """The process gets a short turn at a time, as beside many busy ones."""
    over = threading.Event()

    def take_turns() -> None:
        while not over.wait(RUN_SECONDS):
            os.kill(pid, signal.SIGSTOP)
            over.wait(STOP_SECONDS)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=take_turns)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def measure(samples: list[float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    samples.append(time.perf_counter() - begun)
