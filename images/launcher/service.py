"""Answers the owner's requests."""

import signal
from collections.abc import Callable
from typing import Any, cast

import groups
from containers.container_requests import Answer, ContainerRequests
from context import Context, make_context
from errors import CreateError, classify
from events import Events
from groups import Parent
from launch import Launch
from owners.reaper import Reaper
from owners.uids import PoolExhausted
from probes import try_groups, try_image
from sandboxes.sandbox import Sandbox
from wire import Message, Wire
from workspaces.volumes import make_volume, remove_volume


class Service:
    def __init__(self, events: Events, wire: Wire) -> None:
        self._events = events
        self._wire = wire
        self._context: Context | None = None
        self._sandboxes: dict[str, Sandbox] = {}
        self._stopping = False
        self._parents: list[Parent] = []
        self._holding = ContainerRequests(self._require_context)
        self._handlers: dict[str, Callable[[Message], None]] = {
            "configure": self._configure,
            "create": self._create,
            "kill": self._kill,
            "remove": self._remove,
            "hold": lambda message: self._holding.hold(message, self._answer(message)),
            "started": lambda message: self._holding.started(message, self._answer(message)),
            "adopt": lambda message: self._holding.adopt(message, self._answer(message)),
            "release": lambda message: self._holding.remove(message, self._answer(message)),
            "makeVolume": lambda message: self._change_volume(make_volume, message),
            "removeVolume": lambda message: self._change_volume(remove_volume, message),
            "reap": self._reap,
            "tryGroups": self._try_groups,
            "tryImage": self._try_image,
        }

    @property
    def finished(self) -> bool:
        return self._stopping and not self._sandboxes and self._holding.is_empty

    def on_readable(self) -> None:
        messages = self._wire.receive()
        if messages is None:
            self.stop()
            return
        for message in messages:
            self._handlers[message["op"]](message)

    def stop(self) -> None:
        """The owner is gone or wants us to end: everything it owned goes with us."""
        if self._stopping:
            return
        self._stopping = True
        self._events.unwatch(self._wire.read_fd)
        for sandbox in list(self._sandboxes.values()):
            sandbox.kill()
        for sandbox in list(self._sandboxes.values()):
            self._remove_for_good(sandbox)
        self._holding.stop()

    def _remove_for_good(self, sandbox: Sandbox) -> None:
        sandbox.remove(False, True, lambda _problem: self._forget(sandbox.id))

    def close(self) -> None:
        """Other owners may still need the parents, so only empty ones go."""
        groups.remove_parents(self._parents)

    def _configure(self, message: Message) -> None:
        self._context = make_context(message, self._events)
        self._parents += self._context.parents
        self._reply(message, {})

    def _create(self, message: Message) -> None:
        context = self._require_context()
        plan = cast(Launch, message["plan"])
        try:
            sandbox = Sandbox(context, plan, lambda report: self._on_report(message, plan["id"], report), self._forget)
        except CreateError as error:
            self._refuse(message, error)
            return
        except PoolExhausted as error:
            self._refuse(message, CreateError("capacity", "uid", str(error)))
            return
        except OSError as error:
            self._refuse(message, classify(error.errno, "record", str(error)))
            return
        self._sandboxes[plan["id"]] = sandbox
        try:
            sandbox.start()
        except CreateError as error:
            self._undo(message, sandbox, error)
        except OSError as error:
            self._undo(message, sandbox, classify(error.errno, sandbox.step, str(error)))

    def _on_report(self, message: Message, id: str, report: dict[str, Any]) -> None:
        if report["event"] == "started":
            self._reply(message, {key: report[key] for key in ("pid", "uid", "timings")})
        elif report["event"] == "ended":
            self._wire.send({"event": "ended", "id": id, "detail": report["detail"]})
        else:
            self._undo(message, self._sandboxes[id], CreateError(report["code"], report["step"], report["message"]))

    def _undo(self, message: Message, sandbox: Sandbox, error: CreateError) -> None:
        """The refusal is sent when nothing is left of the attempt, or says what is."""

        def removed(problem: str | None) -> None:
            error.left = problem
            self._refuse(message, error)

        sandbox.remove(False, False, removed)

    def _kill(self, message: Message) -> None:
        sandbox = self._sandboxes.get(message["id"])
        if sandbox is not None:
            sandbox.kill()

    def _remove(self, message: Message) -> None:
        sandbox = self._sandboxes.get(message["id"])
        if sandbox is None:
            self._reply(message, {})
        else:
            sandbox.remove(message["keepWorkspace"], False, lambda problem: self._reply_removed(message, problem))

    def _reply_removed(self, message: Message, problem: str | None) -> None:
        if problem is None:
            self._reply(message, {})
        else:
            self._refuse(message, CreateError("internal", "remove", problem))

    def _change_volume(self, change: Callable[[Context, Message, Answer], None], message: Message) -> None:
        answer = self._answer(message)
        try:
            change(self._require_context(), message, answer)
        except CreateError as error:
            answer(error)
        except PoolExhausted as error:
            answer(CreateError("capacity", "uid", str(error)))
        except OSError as error:
            answer(classify(error.errno, "volume", str(error)))

    def _reap(self, message: Message) -> None:
        Reaper(
            self._require_context(),
            lambda reaped, failed: self._reply(message, {"reaped": reaped, "failed": failed}),
        ).start()

    def _try_groups(self, message: Message) -> None:
        self._parents += message["parents"]
        try:
            try_groups(self._events, message["groups"], message["parents"])
        except OSError as error:
            self._refuse(message, CreateError("isolation_failed", "cgroup", str(error)))
        else:
            self._reply(message, {})

    def _try_image(self, message: Message) -> None:
        try:
            try_image(message["blank"], message["folder"])
        except OSError as error:
            self._refuse(message, CreateError("isolation_failed", "image", str(error)))
        else:
            self._reply(message, {})

    def _require_context(self) -> Context:
        if self._context is None:
            raise RuntimeError("the launcher has not been configured")
        return self._context

    def _forget(self, id: str) -> None:
        self._sandboxes.pop(id, None)

    def _answer(self, message: Message) -> Answer:
        def answer(outcome: dict[str, Any] | CreateError) -> None:
            if isinstance(outcome, CreateError):
                self._refuse(message, outcome)
            else:
                self._reply(message, outcome)

        return answer

    def _reply(self, message: Message, body: dict[str, Any]) -> None:
        self._wire.send({"request": message["request"], "ok": True, **body})

    def _refuse(self, message: Message, error: CreateError) -> None:
        body = {"code": error.code, "step": error.step, "message": str(error), "left": error.left}
        self._wire.send({"request": message["request"], "ok": False, **body})


def ignore_terminal_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
