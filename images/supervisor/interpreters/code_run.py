"""A run of code: a process of a call like any other, plus the payload socket that takes the code and gives the
result."""

from __future__ import annotations

from interpreters.payload import Payload, clean_result
from processes.process import RUNNING, Process
from processes.status import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from channel.calls import Call, Fields
    from interpreters.asks import Ask
    from interpreters.node_process import Pipes
    from loop import Loop
    from processes.process import Table
    from settings import Settings

NO_RESULT: dict[str, object] = {"value": None, "error": None, "truncated": False}


class CodeRun(Process):
    """A fresh run: ends when its process exits."""

    __slots__ = ("payload", "memory_shared", "ask", "on_finished", "_result", "_code", "_header")

    def __init__(
        self,
        loop: Loop,
        table: Table,
        settings: Settings,
        call: Call,
        request: dict[str, Any],
        code: bytes,
        folder: str,
    ) -> None:
        argv = [request["language"], request["file"]]
        super().__init__(loop, table, settings, call.id, argv, live_bytes=request["live_bytes"], background=False)
        self.payload: Payload | None = None
        self.memory_shared = False
        self._result: Fields = NO_RESULT
        self._code = code
        self._header = {"file": request["file"], "cwd": folder, "context": request["context"] is not None}
        self.ask: Ask | None = None
        """Where its process is asked for, when a warm interpreter forks it."""
        self.on_finished: Callable[[], None] | None = None
        self.follow(call)
        self.end_after(request["deadline_ms"])

    # The way to a process

    def runner_started(self, pid: int, pipes: Pipes) -> None:
        self.pid = pid
        self.begin_in(pipes)

    def runner_ended(self, wait_status: int, usage: Usage) -> None:
        self.main_ended(wait_status, usage)

    def runner_lost(self) -> None:
        """No interpreter could be had, or it died before it could tell how the run ended."""
        if self.phase != RUNNING:
            return
        if self.pid > 0:
            self._table.drop(self.pid)
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
        self.send_code(Payload(self._loop, payload))
        self._table.begin(self)
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

    def stop(self, reason: str) -> None:
        """Without a process there is nothing to wait for."""
        if self.phase == RUNNING and self.pid == 0:
            self.reason = reason
            self.stop_waiting()
            self.ended(Usage())
        else:
            super().stop(reason)

    def stop_waiting(self) -> None:
        if self.ask is not None:
            self.ask.withdraw()

    def kill(self) -> None:
        super().kill()
        if self.ask is not None:
            self.ask.expect_end(self.pid)

    def drain_more(self) -> bool:
        return self.payload is None or self.payload.drain()

    def finishing(self) -> None:
        if self.payload is not None:
            self.payload.close()
        if self.on_finished is not None:
            self.on_finished()
