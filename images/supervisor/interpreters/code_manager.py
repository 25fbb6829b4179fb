"""`run` and the contexts: picks the process that runs the code, and starts it when there is none."""

from __future__ import annotations

from channel.calls import OpError, code_of_os_error, message_of_os_error
from interpreters.asks import Ask
from interpreters.code_run import CodeRun
from interpreters.context import Context
from interpreters.context_run import ContextRun, NodeContextRun
from interpreters.node_process import Pipes
from network.relay import open_relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from channel.calls import Call, Fields
    from channel.dialer import Dialer
    from interpreters.pool import InterpreterPool
    from loop import Loop
    from network.relay import Relay
    from processes.reaper import Reaper
    from processes.table import ProcessTable
    from settings import Configuration

MAX_CODE_BYTES = 16 << 20
MAX_CONTEXTS = 64


class CodeManager:
    __slots__ = ("_loop", "_dialer", "_table", "_reaper", "_configuration", "_pool", "_contexts")

    def __init__(
        self,
        loop: Loop,
        dialer: Dialer,
        table: ProcessTable,
        reaper: Reaper,
        configuration: Configuration,
        pool: InterpreterPool,
    ) -> None:
        self._loop = loop
        self._dialer = dialer
        self._table = table
        self._reaper = reaper
        self._configuration = configuration
        self._pool = pool
        self._contexts: dict[str, Context] = {}

    # Runs

    def run(self, call: Call, request: dict[str, Any]) -> None:
        self._configuration.settings.folder(request["cwd"])
        code = bytearray()

        def collect() -> None:
            while call.frames:
                frame = call.take_frame()
                if frame is None:
                    call.on_frame = None
                    self._begin(call, request, bytes(code))
                    return
                if isinstance(frame, dict):
                    if call.cancelled:
                        call.fail("unavailable", "cancelled before the code was complete")
                        return
                elif len(code) + len(frame) > MAX_CODE_BYTES:
                    call.fail("invalid", f"the code exceeds {MAX_CODE_BYTES} bytes")
                    return
                else:
                    code.extend(frame)

        call.on_frame = collect
        collect()

    def _begin(self, call: Call, request: dict[str, Any], code: bytes) -> None:
        try:
            if request["context"] is not None:
                self._run_in_context(call, request, code)
            elif request["language"] == "python":
                self._run_python(call, request, code)
            else:
                self._run_node(call, request, code)
        except OpError as error:
            call.fail(error.code, error.message)
        except OSError as error:
            call.fail(code_of_os_error(error), message_of_os_error(error))

    def _run_python(self, call: Call, request: dict[str, Any], code: bytes) -> None:
        settings = self._configuration.settings
        warm = self._pool.get_warm()
        folder = settings.folder(request["cwd"])
        pipes, relay = self._make_streams(call.id)
        run = CodeRun(self._loop, self._table, settings, call, request, code, folder)
        run.relay = relay
        run.memory_shared = True
        run.set_environment(settings.environment(call.id, relay.port, request["env"]))
        run.ask = Ask(run, pipes, folder, request["rlimits"], False)
        run.ask.start_with(warm)

    def _make_streams(self, call_id: str) -> tuple[Pipes, Relay]:
        pipes = Pipes()
        try:
            return pipes, open_relay(self._loop, self._dialer, call_id)
        except OpError:
            pipes.close()
            raise

    def _run_node(self, call: Call, request: dict[str, Any], code: bytes) -> None:
        settings = self._configuration.settings
        folder = settings.folder(request["cwd"])
        node = self._pool.take_node(call.id, request["env"], request["rlimits"])
        run = CodeRun(self._loop, self._table, settings, call, request, code, folder)
        run.on_finished = self._pool.plan_spare
        run.relay = node.relay
        run.set_environment(settings.environment(call.id, node.relay.port, request["env"]))
        self._reaper.ignore(node.pid)
        self._reaper.watch(node.pid, run.main_ended)
        run.runner_started(node.pid, node.pipes)

    def _run_in_context(self, call: Call, request: dict[str, Any], code: bytes) -> None:
        settings = self._configuration.settings
        folder = settings.folder(request["cwd"])
        context = self._contexts.get(request["context"])
        if context is None:
            context = self._make_context(call.id, request, folder)
        elif context.language != request["language"]:
            raise OpError("invalid", f"context {context.name!r} runs {context.language}")
        if context.busy:
            raise OpError("busy", f"context {context.name!r} runs something else")
        if context.gone:
            raise OpError("unavailable", "no process for the context could be started")
        is_python = request["language"] == "python"
        kind = ContextRun if is_python else NodeContextRun
        run = kind(self._loop, self._table, settings, call, request, code, folder, context)
        run.memory_shared = is_python
        run.set_environment(settings.environment(call.id, context.relay.port, request["env"]))
        context.begin(run)

    # Contexts

    def _make_context(self, call_id: str, request: Mapping[str, Any], folder: str) -> Context:
        if len(self._contexts) >= MAX_CONTEXTS:
            raise OpError("unavailable", f"at most {MAX_CONTEXTS} contexts")
        name, rlimits = request["context"], request["rlimits"]
        if request["language"] == "python":
            warm = self._pool.get_warm()
            pipes, relay = self._make_streams(call_id)
            context = Context(self._loop, self._table, name, "python", relay, self._forget_context)
            self._contexts[name] = context
            context.ask = Ask(context, pipes, folder, rlimits, True)
            context.ask.start_with(warm)
        else:
            node = self._pool.take_node(call_id, request["env"], rlimits)
            context = Context(self._loop, self._table, name, "javascript", node.relay, self._forget_context)
            self._reaper.ignore(node.pid)
            self._reaper.watch(node.pid, context.runner_ended)
            context.runner_started(node.pid, node.pipes)
            self._contexts[name] = context
            self._pool.plan_spare()
        return context

    def _forget_context(self, context: Context) -> None:
        if self._contexts.get(context.name) is context:
            del self._contexts[context.name]

    def _find(self, name: str) -> Context:
        context = self._contexts.get(name)
        if context is None:
            raise OpError("not_found", f"no context {name!r}")
        return context

    def list_contexts(self) -> list[Fields]:
        return [context.describe() for context in self._contexts.values()]

    def interrupt(self, name: str, delivered: Callable[[], None]) -> None:
        self._find(name).interrupt(delivered)

    def remove(self, name: str, done: Callable[[], None]) -> None:
        self._find(name).end(done)

    def restart(self, name: str, call: Call) -> None:
        """A new process under the same name, in the workspace, without the limits of the run that made the first."""
        language = self._find(name).language
        request = {"context": name, "language": language, "env": {}, "rlimits": {}}

        def make_again() -> None:
            try:
                if name not in self._contexts:
                    self._make_context(call.id, request, self._configuration.settings.workspace)
                call.done({})
            except OpError as error:
                call.fail(error.code, error.message)
            except OSError as error:
                call.fail(code_of_os_error(error), message_of_os_error(error))

        self.remove(name, make_again)
