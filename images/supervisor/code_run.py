"""A run of code: a process of a call like any other, plus the payload socket that takes the code and gives the result."""

from __future__ import annotations

import os
from _signal import SIGINT

from interpreters import Pipes
from ledger import read_proc, read_stat
from payload import Payload, clean_result
from processes import RUNNING, Process
from status import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from calls import Call, Fields
    from contexts import Context
    from core import Core

ABANDON_AFTER_SECONDS = 0.1
NO_RESULT: dict[str, object] = {"value": None, "error": None, "truncated": False}


class CodeRun(Process):
    """A fresh run: ends when its process exits."""

    __slots__ = ("payload", "memory_shared", "_result", "_code", "_header", "_abandon", "_pipes")

    def __init__(self, core: Core, call: Call, request: dict[str, Any], code: bytes, folder: str) -> None:
        super().__init__(core, call.id, [request["language"], request["file"]], request["live_bytes"], False)
        self.payload: Payload | None = None
        self.memory_shared = False
        self._result: Fields = NO_RESULT
        self._code = code
        self._header = {"file": request["file"], "cwd": folder, "context": request["context"] is not None}
        self._abandon: Callable[[], None] | None = None
        self._pipes: Pipes | None = None
        self.follow(call)
        self.end_after(request["deadline_ms"])

    # The way to a process

    def await_process(self, pipes: Pipes, abandon: Callable[[], None]) -> None:
        """A child is asked for; `abandon` takes down the interpreter it is asked of."""
        self._pipes = pipes
        self._abandon = abandon

    def depend_on(self, abandon: Callable[[], None]) -> None:
        self._abandon = abandon

    def runner_started(self, pid: int) -> None:
        assert self._pipes is not None
        pipes, self._pipes = self._pipes, None
        if self.phase != RUNNING:
            pipes.close_ours()
            return
        self.pid = pid
        self.begin_in(pipes)

    def runner_ended(self, wait_status: int, usage: Usage) -> None:
        self.main_ended(wait_status, usage)

    def runner_lost(self) -> None:
        """The interpreter died before it could tell how the run ended."""
        if self.phase != RUNNING:
            return
        if self.pid > 0:
            self.core.ledger.drop(self.pid)
        if self.reason == "exit":
            self.reason = "lost"
        self.ended(Usage())

    def begin_in(self, pipes: Pipes) -> None:
        """The process is there: it gets the code, and the call its output."""
        assert self.relay is not None
        out, err, payload = pipes.ours
        pipes.ours.clear()
        self.stdout.read_from(out)
        self.stderr.read_from(err)
        self.send_code(Payload(self.core.loop, payload))
        self.core.table.begin(self)
        self.announce()

    def send_code(self, payload: Payload) -> None:
        self.payload = payload
        payload.on_result = self._take_result
        payload.on_rich = self._take_rich
        code, self._code = self._code, b""
        payload.run(self._header, code)

    def set_environment(self, environment: dict[str, str]) -> None:
        self._header["env"] = environment

    # What comes back

    def _take_result(self, result: Fields) -> None:
        self._result = clean_result(result)
        self.result_came(result.get("exit_code"))

    def result_came(self, _exit_code: object) -> None:
        pass

    def _take_rich(self, mime: str, content: bytes) -> None:
        if self.viewer is not None:
            self.viewer.send_event({"op": "rich", "mime": mime, "bytes": len(content)})
            self.viewer.send_data(content)
            self._pause_payload()

    def _pause_payload(self) -> None:
        if self.payload is not None:
            self.payload.pause(self.viewer is not None and self.viewer.full)

    def call_drained(self) -> None:
        self._pause_payload()
        super().call_drained()

    def detach(self) -> None:
        super().detach()
        self._pause_payload()

    def more_results(self) -> Fields:
        return {**self._result, "memory_shared": self.memory_shared}

    # Ending

    def kill(self) -> None:
        if self.pid == 0 and self._abandon is not None:
            self._abandon()
            self.runner_lost()
            return
        super().kill()
        self.core.loop.after(ABANDON_AFTER_SECONDS, self._abandon_interpreter)

    def _abandon_interpreter(self) -> None:
        """It was stopped and reports nothing: without it the dead run comes to us."""
        if self.phase == RUNNING and self._abandon is not None:
            self._abandon()

    def drain_more(self) -> bool:
        if self._pipes is not None:
            self._pipes.close_ours()
            self._pipes = None
        return self.payload is None or self.payload.drain()

    def finishing(self) -> None:
        if self.payload is not None:
            self.payload.close()


class ContextRun(CodeRun):
    """A run in a context ends with its result; the process lives on."""

    __slots__ = ("_context", "_used_before")

    def __init__(
        self, core: Core, call: Call, request: dict[str, Any], code: bytes, folder: str, context: Context
    ) -> None:
        super().__init__(core, call, request, code, folder)
        self._context = context
        self._used_before = (0, 0)
        self.main_owner = context.owner

    def begin_in(self, pipes: Pipes) -> None:
        """The streams are the context's own, so the run reads copies of their descriptors."""
        self.pid = self._context.pid
        out, err, _ = pipes.ours
        for fd in (out, err):
            discard_waiting(fd)
        self.stdout.read_from(os.dup(out))
        self.stderr.read_from(os.dup(err))
        stat = read_stat(self.pid)
        if stat is not None:
            self._used_before = (stat.user_us(), stat.system_us())
        assert self._context.payload is not None
        self.send_code(self._context.payload)
        self.core.table.begin(self)
        self.announce()

    def result_came(self, exit_code: object) -> None:
        if not isinstance(exit_code, int) or not 0 <= exit_code <= 255:
            exit_code = int(self._result["error"] is not None)
        self.set_exit(int(exit_code))
        self.ended(self._measure())

    def _measure(self) -> Usage:
        stat = read_stat(self.pid)
        if stat is None:
            return Usage()
        user, system = self._used_before
        return Usage(stat.user_us() - user, stat.system_us() - system, _peak_memory_bytes(self.pid))

    def ask_to_end(self) -> None:
        self.send_signal(SIGINT)

    def end_relay(self, delivered: Callable[[], None]) -> None:
        """The context keeps it."""
        delivered()

    def finishing(self) -> None:
        self._context.run_finished(self)


def discard_waiting(fd: int) -> None:
    """What a context's threads wrote between two runs belongs to none of them."""
    os.set_blocking(fd, False)
    try:
        for _ in range(64):
            if not os.read(fd, 64 * 1024):
                return
    except OSError:
        pass


def _peak_memory_bytes(pid: int) -> int:
    for line in read_proc(pid, "status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
