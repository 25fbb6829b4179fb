"""`run` and the contexts: picks the process that runs the code, and starts it when there is none."""

from __future__ import annotations

from channel.calls import OpError, code_of_os_error, message_of_os_error
from interpreters.asks import Ask
from interpreters.code_run import CodeRun
from interpreters.context import Context
from interpreters.context_run import ContextRun, NodeContextRun
from interpreters.node_process import NodeProcess, Pipes
from interpreters.warm_python import WarmPython
from processes.start import make_relay, resolve_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from channel.calls import Call, Fields
    from core import Core
    from network.relay import Relay

MAX_CODE_BYTES = 16 << 20
MAX_CONTEXTS = 64
REPLACE_SPARE_SECONDS = 0.05
MAX_TRIES = 3
"""So many interpreters are asked for one child: a broken one ends whenever it is started."""


class CodeManager:
    __slots__ = ("_core", "_warm", "_spare", "_contexts", "_spare_due", "_spare_lost")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._warm: WarmPython | None = None
        self._spare: NodeProcess | None = None
        self._contexts: dict[str, Context] = {}
        self._spare_due = False
        self._spare_lost = False
        """One is to be had again once nothing of a call lives."""

    # Interpreters

    def warm_up(self) -> None:
        """Starts what the settings want ahead of need; a failure shows at the first use."""
        settings = self._core.settings
        try:
            if settings.python is not None and settings.python["warm"]:
                self._get_warm()
            if settings.javascript is not None and settings.javascript["warm"]:
                self._refill_spare()
        except OSError as error:
            self._core.loop.report(error)

    def reconfigure(self) -> None:
        """New settings: interpreters that were started under the old ones are not used any more."""
        self._drop_warm()
        if self._spare is not None:
            self._spare.kill()
            self._spare = None

    def _get_warm(self) -> WarmPython:
        settings = self._core.settings
        if settings.python is None:
            raise OpError("unavailable", "this sandbox has no Python for code")
        if self._warm is not None and self._warm.exposed and self._warm.idle and not self._core.table.has_guests():
            self._drop_warm()
        if self._warm is None or not self._warm.alive:
            environment = settings.environment(None, 0, {})
            argv, preload = settings.python["argv"], settings.python["preload"]
            self._warm = WarmPython(self._core, argv, preload, environment, self._ask_again)
        return self._warm

    def _drop_warm(self) -> None:
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.kill()

    def _ask_again(self, asks: list[Ask]) -> None:
        """Their interpreter is lost."""
        for ask in asks:
            try:
                if ask.tries >= MAX_TRIES:
                    raise OpError("unavailable", "no interpreter stays")
                ask.start_with(self._get_warm())
            except (OpError, OSError):
                ask.fail()

    def child_stopped(self, pid: int) -> None:
        if self._warm is not None and self._warm.pid == pid:
            self._warm.stopped()

    def _take_node(self, call_id: str, env: Mapping[str, str], rlimits: Mapping[str, int]) -> NodeProcess:
        """The spare, unless limits must be set before Node starts."""
        settings = self._core.settings
        if settings.javascript is None:
            raise OpError("unavailable", "this sandbox has no Node for code")
        if not rlimits and self._spare is not None and self._spare.alive and not self._spare.exposed:
            node, self._spare = self._spare, None
            node.relay.call_id = call_id
        else:
            node = NodeProcess(self._core, settings.javascript["argv"], call_id, env, rlimits)
        return node

    # What guest code could have written into runs no later call

    def guest_started(self) -> None:
        if self._warm is not None:
            self._warm.guest_started()
        if self._spare is not None:
            self._spare.exposed = True

    def renew_exposed(self) -> None:
        if self._spare is not None and self._spare.exposed:
            self._spare.kill()
            self._spare = None
            self._spare_lost = True
        if self._core.table.has_guests():
            return
        if self._spare_lost:
            self.plan_spare()
        if self._warm is not None and self._warm.exposed and self._warm.idle:
            self._drop_warm()
            self._core.loop.after(REPLACE_SPARE_SECONDS, self.warm_up)

    def _refill_spare(self) -> None:
        self._spare_due = False
        if self._core.table.has_guests():
            self._spare_lost = True
            return
        self._spare_lost = False
        settings = self._core.settings
        if settings.javascript is not None and (self._spare is None or not self._spare.alive):
            self._spare = NodeProcess(self._core, settings.javascript["argv"], None, {}, {})

    def plan_spare(self) -> None:
        """After a call: not at once, so that the new Node does not compete with it for the processor."""
        if not self._spare_due:
            self._spare_due = True
            self._core.loop.after(REPLACE_SPARE_SECONDS, self._refill_spare)

    # Runs

    def run(self, call: Call, request: dict[str, Any]) -> None:
        resolve_folder(self._core, request["cwd"])
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
        warm = self._get_warm()
        folder = resolve_folder(self._core, request["cwd"])
        pipes, relay = self._make_streams(call.id)
        run = CodeRun(self._core, call, request, code, folder)
        run.relay = relay
        run.memory_shared = True
        run.set_environment(self._core.settings.environment(call.id, relay.port, request["env"]))
        run.ask = Ask(run, pipes, folder, request["rlimits"], False)
        run.ask.start_with(warm)

    def _make_streams(self, call_id: str) -> tuple[Pipes, Relay]:
        pipes = Pipes()
        try:
            return pipes, make_relay(self._core, call_id)
        except OpError:
            pipes.close()
            raise

    def _run_node(self, call: Call, request: dict[str, Any], code: bytes) -> None:
        folder = resolve_folder(self._core, request["cwd"])
        node = self._take_node(call.id, request["env"], request["rlimits"])
        run = NodeRun(self._core, call, request, code, folder)
        run.relay = node.relay
        run.set_environment(self._core.settings.environment(call.id, node.relay.port, request["env"]))
        self._core.ignore_exit(node.pid)
        self._core.watch_exit(node.pid, run.main_ended)
        run.runner_started(node.pid, node.pipes)

    def _run_in_context(self, call: Call, request: dict[str, Any], code: bytes) -> None:
        folder = resolve_folder(self._core, request["cwd"])
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
        run = (ContextRun if is_python else NodeContextRun)(self._core, call, request, code, folder, context)
        run.memory_shared = is_python
        run.set_environment(self._core.settings.environment(call.id, context.relay.port, request["env"]))
        context.begin(run)

    # Contexts

    def _make_context(self, call_id: str, request: Mapping[str, Any], folder: str) -> Context:
        if len(self._contexts) >= MAX_CONTEXTS:
            raise OpError("unavailable", f"at most {MAX_CONTEXTS} contexts")
        name, rlimits = request["context"], request["rlimits"]
        if request["language"] == "python":
            warm = self._get_warm()
            pipes, relay = self._make_streams(call_id)
            context = Context(self._core, name, "python", relay, self._forget_context)
            self._contexts[name] = context
            context.ask = Ask(context, pipes, folder, rlimits, True)
            context.ask.start_with(warm)
        else:
            node = self._take_node(call_id, request["env"], rlimits)
            context = Context(self._core, name, "javascript", node.relay, self._forget_context)
            self._core.ignore_exit(node.pid)
            self._core.watch_exit(node.pid, context.runner_ended)
            context.runner_started(node.pid, node.pipes)
            self._contexts[name] = context
            self.plan_spare()
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
                    self._make_context(call.id, request, self._core.settings.workspace)
                call.done({})
            except OpError as error:
                call.fail(error.code, error.message)
            except OSError as error:
                call.fail(code_of_os_error(error), message_of_os_error(error))

        self.remove(name, make_again)


class NodeRun(CodeRun):
    """Uses a Node process up, and has the spare replaced afterwards."""

    __slots__ = ()

    def finishing(self) -> None:
        super().finishing()
        self.core.code.plan_spare()
