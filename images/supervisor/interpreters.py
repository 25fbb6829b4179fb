"""Interpreters that run ahead of need: the warm Python that forks, and the one spare Node that is used up."""

from __future__ import annotations

import os
import sys
from _collections import deque
from _signal import SIGKILL
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, socket, socketpair

from json_text import JsonError, decode_object, encode
from ledger import DISMISSED, SUPERVISOR, read_stat
from loop import close_quietly
from relay import Relay
from spawn import Plan, spawn
from status import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from calls import Fields
    from core import Core

    class Runner(Protocol):
        """Who waits for a child of the warm interpreter."""

        def runner_started(self, pid: int) -> None: ...
        def runner_ended(self, wait_status: int, usage: Usage) -> None: ...
        def runner_lost(self) -> None: ...


RUNNERS = f"{os.path.dirname(os.path.abspath(__file__))}/runners"
MESSAGE_BYTES = 64 * 1024


class Pipes:
    """The ends of a runner's streams: ours to read, theirs to hand over."""

    __slots__ = ("ours", "theirs")

    def __init__(self) -> None:
        self.ours: list[int] = []
        self.theirs: list[int] = []
        try:
            for _ in range(2):
                reader, writer = os.pipe()
                self.ours.append(reader)
                self.theirs.append(writer)
            first, second = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
            self.ours.append(first.detach())
            self.theirs.append(second.detach())
        except OSError:
            self.close_ours()
            self.close_theirs()
            raise

    def close_ours(self) -> None:
        for fd in self.ours:
            close_quietly(fd)
        self.ours.clear()

    def close_theirs(self) -> None:
        for fd in self.theirs:
            close_quietly(fd)
        self.theirs.clear()


class WarmPython:
    """A process that imported the preload list and forks one child per run. It never holds a run's code."""

    __slots__ = ("_core", "_socket", "_runs", "_pids", "_waiting", "_next_id", "_gone", "_sealed", "exposed", "pid")

    def __init__(self, core: Core, argv: Sequence[str], preload: Sequence[str], env: Mapping[str, str]) -> None:
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        arguments = [*argv, "-B", "-X", "frozen_modules=on", f"{RUNNERS}/warm.py"]
        with_theirs = theirs.detach()
        try:
            self.pid = spawn(Plan(arguments, env, "/", [0, 0, 0, with_theirs])).pid
        except OSError:
            ours.close()
            raise
        finally:
            os.close(with_theirs)
        ours.setblocking(False)
        self._core = core
        self._socket: socket = ours
        self._runs: dict[int, Runner] = {}
        self._pids: dict[int, int] = {}
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._next_id = 1
        self._gone = False
        self._sealed = False
        self.exposed = core.table.has_guests()
        """Guest code ran while the memory of this process was open to it."""
        core.ledger.claim_forker(self.pid, lambda: len(self._runs) > len(self._pids))
        core.watch_exit(self.pid, self._exited)
        core.loop.watch(ours.fileno(), self._readable, read=True)
        self._send(encode({"preload": list(preload)}), [])

    @property
    def alive(self) -> bool:
        return not self._gone

    @property
    def idle(self) -> bool:
        return not self._runs

    def guest_started(self) -> None:
        if not self._sealed and not self.exposed:
            self._sealed = _is_closed_memory(self.pid)
            self.exposed = not self._sealed

    def start(self, runner: Runner, cwd: str, rlimits: Mapping[str, int], is_context: bool, pipes: Pipes) -> None:
        """The child gets `pipes.theirs`, which are closed here."""
        run_id = self._next_id
        self._next_id += 1
        self._runs[run_id] = runner
        message = {"id": run_id, "cwd": cwd, "rlimits": dict(rlimits), "context": is_context}
        descriptors = [os.dup(0), *pipes.theirs]
        pipes.theirs.clear()
        self._send(encode(message), descriptors)

    def kill(self) -> None:
        if not self._gone:
            try:
                os.kill(self.pid, SIGKILL)
            except OSError:
                pass

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        self._waiting.append((message, descriptors))
        self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                message, descriptors = self._waiting[0]
                rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in descriptors)
                self._socket.sendmsg([message], [(SOL_SOCKET, SCM_RIGHTS, rights)] if rights else [])
                self._waiting.popleft()
                for fd in descriptors:
                    close_quietly(fd)
        except BlockingIOError:
            pass
        except OSError:
            self.kill()
        if not self._gone:
            self._core.loop.watch(self._socket.fileno(), self._readable, read=True, write=bool(self._waiting))

    def _readable(self, _events: int) -> None:
        if self._waiting:
            self._flush()
        if not self._gone and not self._receive():
            self._core.loop.forget(self._socket.fileno())
            self.kill()

    def _receive(self) -> bool:
        """False at the end of the socket, or when it says what it must not."""
        try:
            while message := self._socket.recv(MESSAGE_BYTES):
                self._take(decode_object(message))
        except BlockingIOError:
            return True
        except (OSError, JsonError, KeyError, TypeError):
            pass
        return False

    def _take(self, message: Fields) -> None:
        run_id = message.get("id")
        runner = self._runs.get(run_id) if isinstance(run_id, int) else None
        if runner is None or not isinstance(run_id, int):
            return
        if "pid" in message:
            pid = _count(message["pid"])
            if not self._is_child(pid):
                self._drop(run_id)
                runner.runner_lost()
                return
            self._pids[run_id] = pid
            # for the case that it outlives the warm interpreter and comes to us
            self._core.watch_exit(pid, lambda status, usage: self._orphan_ended(run_id, status, usage))
            runner.runner_started(pid)
        elif "wait_status" in message:
            usage = Usage(
                _count(message["user_us"]), _count(message["system_us"]), _count(message["max_rss_bytes"])
            )
            self._drop(run_id)
            runner.runner_ended(_count(message["wait_status"]) & 0xFFFF, usage)
        else:
            self._drop(run_id)
            runner.runner_lost()

    def _is_child(self, pid: int) -> bool:
        """The preload list is guest code, so a pid from there may be anybody's."""
        stat = read_stat(pid)
        return pid > 1 and not self._core.watches_exit(pid) and (stat is None or stat.parent == self.pid)

    def _orphan_ended(self, run_id: int, wait_status: int, usage: Usage) -> None:
        runner = self._runs.get(run_id)
        self._drop(run_id)
        if runner is not None:
            runner.runner_ended(wait_status, usage)

    def _drop(self, run_id: int) -> None:
        self._runs.pop(run_id, None)
        pid = self._pids.pop(run_id, None)
        if pid is not None:
            self._core.ignore_exit(pid)

    def _exited(self, _wait_status: int, _usage: Usage) -> None:
        self._receive()
        self._gone = True
        self._core.ledger.drop(self.pid)
        self._core.loop.forget(self._socket.fileno())
        self._socket.close()
        for _message, descriptors in self._waiting:
            for fd in descriptors:
                close_quietly(fd)
        self._waiting.clear()
        for run_id, runner in list(self._runs.items()):
            if run_id not in self._pids or not _is_our_child(self._pids[run_id]):
                self._drop(run_id)
                runner.runner_lost()


class NodeProcess:
    """A Node that loaded its runner and waits for code: the spare, or one started for a call that came too early."""

    __slots__ = ("_core", "pipes", "relay", "pid", "alive", "exposed")

    def __init__(
        self, core: Core, argv: Sequence[str], environment_call: str | None, env: Mapping[str, str],
        rlimits: Mapping[str, int],
    ) -> None:  # fmt: skip
        self._core = core
        # Node reads its proxy once at its start, so the relay is made with the process and handed to the call with it.
        self.relay = Relay(core.loop, core.dialer, environment_call or "")
        self.pipes = Pipes()
        try:
            plan = Plan(
                [*argv, "--disable-sigusr1", f"{RUNNERS}/runner.mjs"],
                core.settings.environment(environment_call, self.relay.port, env),
                core.settings.workspace,
                [0, *self.pipes.theirs],
                rlimits=rlimits,
            )
            self.pid = spawn(plan).pid
        except BaseException:
            self.relay.close()
            self.pipes.close_ours()
            raise
        finally:
            self.pipes.close_theirs()
        self.alive = True
        self.exposed = core.table.has_guests()
        """Guest code ran beside it, and could write into its memory."""
        core.ledger.claim(self.pid, SUPERVISOR)
        core.watch_exit(self.pid, self._exited_unused)

    def _exited_unused(self, _wait_status: int, _usage: Usage) -> None:
        self.alive = False
        self._core.ledger.drop(self.pid)
        self.relay.close()
        self.pipes.close_ours()

    def kill(self) -> None:
        if self.alive:
            self._core.ledger.claim(self.pid, DISMISSED)
            try:
                os.kill(self.pid, SIGKILL)
            except OSError:
                pass


def _is_closed_memory(pid: int) -> bool:
    """The kernel gives the files of a process that made itself undumpable to root."""
    try:
        return os.stat(f"/proc/{pid}/mem").st_uid != os.getuid()
    except OSError:
        return True


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError("not a count")
    return value


def _is_our_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        return False
    return True
