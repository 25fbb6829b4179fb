"""From a request to the code that serves it. A request that fits no schema fails with `invalid`; nothing here may
raise."""

from __future__ import annotations

from channel.calls import Operation, OpError, code_of_os_error, message_of_os_error
from channel.requests import explain_bad_request
from processes.start import Starter
from settings import Configuration, Settings
from signals import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    from channel.calls import Call
    from channel.dialer import Dialer
    from interpreters.code_manager import CodeManager
    from interpreters.pool import InterpreterPool
    from loop import Loop
    from processes.ledger import Ledger
    from processes.reaper import Reaper
    from processes.table import ProcessTable

    Request: TypeAlias = "dict[str, Any]"
    Handler: TypeAlias = "Callable[[Call, Request], None]"

WARM_UP_SECONDS = 0.001
"""After the answer to `init`: the host does not wait for the interpreters."""


class Dispatcher:
    __slots__ = (
        "_loop", "_dialer", "_ledger", "_table", "_reaper", "_configuration", "_starter", "_pool", "_code", "_handlers",
    )  # fmt: skip

    def __init__(self, loop: Loop, dialer: Dialer, ledger: Ledger, table: ProcessTable, reaper: Reaper) -> None:
        self._loop = loop
        self._dialer = dialer
        self._ledger = ledger
        self._table = table
        self._reaper = reaper
        self._configuration = Configuration()
        self._starter = Starter(loop, dialer, table, reaper)
        self._pool: InterpreterPool | None = None
        self._code: CodeManager | None = None
        self._handlers: Mapping[str, Handler] = {
            "init": self._init,
            "ping": self._ping,
            "start": self._start,
            "attach": self._attach,
            "processes": self._processes,
            "signal": self._signal,
            "cancel": self._cancel,
            "connect": self._connect,
            "run": self._run,
            "contexts": self._contexts,
            "context_interrupt": self._interrupt,
            "context_restart": self._restart,
            "context_remove": self._remove,
        }

    def serve(self, call: Call, request: Request) -> None:
        problem = explain_bad_request(request)
        if problem is not None:
            call.fail("invalid", problem)
            return
        try:
            handler = self._handlers.get(request["op"], self._serve_files)
            handler(call, request)
        except OpError as error:
            call.fail(error.code, error.message)
        except OSError as error:
            call.fail(code_of_os_error(error), message_of_os_error(error))
        except Exception as error:  # one call's trouble is not the sandbox's end
            self._loop.report(error)
            call.fail("io_error", repr(error))

    def _serve_files(self, call: Call, request: Request) -> None:
        _ = self._configuration.settings
        from files import OPERATIONS

        Operation(self._loop, call, OPERATIONS[request["op"]](call, request))

    def _init(self, call: Call, request: Request) -> None:
        settings = Settings(request)
        self._configuration.replace(settings)
        self._dialer.workspace = settings.workspace
        if self._pool is not None:
            self._pool.reconfigure()
        if settings.wants_warmth:
            self._loop.after(WARM_UP_SECONDS, lambda: self._get_pool().warm_up())
        with open("/proc/sys/kernel/pid_max", "rb") as file:
            call.done({"pid_max": int(file.read())})

    def _ping(self, call: Call, _request: Request) -> None:
        call.done({})

    # Processes

    def _start(self, call: Call, request: Request) -> None:
        self._starter.start(self._configuration.settings, call, request)

    def _attach(self, call: Call, request: Request) -> None:
        process = self._table.find(request["pid"])
        if process.viewer is not None:
            raise OpError("busy", f"process {process.pid} is followed by another call")
        process.attach(call)

    def _processes(self, call: Call, _request: Request) -> None:
        call.done({"processes": self._table.list()})

    def _signal(self, call: Call, request: Request) -> None:
        self._table.send_signal(request["pid"], SIGNALS[request["signal"]])
        call.done({})

    def _cancel(self, call: Call, request: Request) -> None:
        target = self._dialer.find_call(request["target"])
        if target is None or target is call:
            raise OpError("not_found", f"no call {request['target']!r}")
        target.cancel_at_once()
        call.done({})

    def _connect(self, call: Call, request: Request) -> None:
        from network.ports import connect_port

        connect_port(self._loop, call, request["port"])

    # Code

    def _get_pool(self) -> InterpreterPool:
        """Made when the first call wants it, like what runs code: an idle sandbox stays small."""
        if self._pool is None:
            from interpreters.pool import InterpreterPool

            self._pool = InterpreterPool(
                self._loop, self._dialer, self._ledger, self._table, self._reaper, self._configuration
            )
            self._table.observer = self._pool
            self._reaper.on_stopped = self._pool.child_stopped
        return self._pool

    def _get_code(self) -> CodeManager:
        if self._code is None:
            from interpreters.code_manager import CodeManager

            self._code = CodeManager(
                self._loop, self._dialer, self._table, self._reaper, self._configuration, self._get_pool()
            )
        return self._code

    def _run(self, call: Call, request: Request) -> None:
        self._get_code().run(call, request)

    def _contexts(self, call: Call, _request: Request) -> None:
        call.done({"contexts": self._get_code().list_contexts()})

    def _interrupt(self, call: Call, request: Request) -> None:
        self._get_code().interrupt(request["context"], lambda: call.done({}))

    def _restart(self, call: Call, request: Request) -> None:
        self._get_code().restart(request["context"], call)

    def _remove(self, call: Call, request: Request) -> None:
        self._get_code().remove(request["context"], lambda: call.done({}))
