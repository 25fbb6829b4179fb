"""Answers the owner's requests."""

import os
import signal
from collections.abc import Callable
from typing import Any, cast

import groups
import images
import kernel
from context import Context, make_context
from events import Events
from make import CreateError, classify
from plan import Launch
from reap import Reaper
from remains import remove_workspace
from sandbox import Sandbox
from uids import PoolExhausted
from wire import Message, Wire


class Service:
    def __init__(self, events: Events, wire: Wire) -> None:
        self._events = events
        self._wire = wire
        self._context: Context | None = None
        self._sandboxes: dict[str, Sandbox] = {}
        self._stopping = False
        self._handlers: dict[str, Callable[[Message], None]] = {
            "configure": self._configure,
            "create": self._create,
            "kill": self._kill,
            "remove": self._remove,
            "removeWorkspace": self._remove_workspace,
            "reap": self._reap,
            "tryGroups": self._try_groups,
            "tryImage": self._try_image,
        }

    @property
    def finished(self) -> bool:
        return self._stopping and not self._sandboxes

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

    def _remove_for_good(self, sandbox: Sandbox) -> None:
        sandbox.remove(False, True, lambda _problem: self._forget(sandbox.id))

    def close(self) -> None:
        if self._context is not None:
            groups.remove_parents(self._context.parents)

    def _configure(self, message: Message) -> None:
        self._context = make_context(message, self._events)
        self._reply(message, {})

    def _create(self, message: Message) -> None:
        context = self._require_context()
        plan = cast(Launch, message["plan"])
        try:
            sandbox = Sandbox(context, plan, lambda report: self._on_report(message, plan["id"], report), self._forget)
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
        """The refusal is sent when nothing is left of the attempt."""

        def removed(problem: str | None) -> None:
            self._refuse(message, error, problem)

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

    def _remove_workspace(self, message: Message) -> None:
        folder = os.path.join(self._require_context().rooms.workspaces, os.path.basename(message["id"]))
        remove_workspace(self._events, folder, lambda problem: self._reply_removed(message, problem))

    def _reply_removed(self, message: Message, problem: str | None) -> None:
        if problem is None:
            self._reply(message, {})
        else:
            self._refuse(message, CreateError("internal", "remove", problem))

    def _reap(self, message: Message) -> None:
        Reaper(
            self._require_context(),
            lambda reaped, failed: self._reply(message, {"reaped": reaped, "failed": failed}),
        ).start()

    def _try_groups(self, message: Message) -> None:
        """Makes the groups of a sandbox, lets a process join them, and removes them again."""
        plan = message["groups"]
        paths = [group["path"] for group in plan]
        try:
            groups.ensure_parents(message["parents"])
            groups.make_groups(plan, message["parents"])
            _run_child(lambda: _join_all(plan))
        except OSError as error:
            self._refuse(message, CreateError("isolation_failed", "cgroup", str(error)))
        else:
            self._reply(message, {})
        finally:
            self._events.later(0.0, lambda: _retire(self._events, paths, 100))

    def _try_image(self, message: Message) -> None:
        folder = message["folder"]
        target = os.path.join(folder, "mount")
        try:
            images.BlankImages().copy(message["blank"], os.path.join(folder, "image.ext4"))
            os.mkdir(target)
            _run_child(lambda: _mount_privately(os.path.join(folder, "image.ext4"), target))
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

    def _reply(self, message: Message, body: dict[str, Any]) -> None:
        self._wire.send({"request": message["request"], "ok": True, **body})

    def _refuse(self, message: Message, error: CreateError, left: str | None = None) -> None:
        text = str(error) if left is None else f"{error} (and what was made could not all be removed: {left})"
        self._wire.send(
            {"request": message["request"], "ok": False, "code": error.code, "step": error.step, "message": text}
        )


def _join_all(plan: list[groups.Group]) -> None:
    groups.join_by_tasks(plan)
    for group in plan:
        if group["join"] == "clone":
            groups.join_by_procs(group)


def _mount_privately(image: str, target: str) -> None:
    kernel.unshare_mounts()
    images.mount_image(image, target, "probe", read_only=False)


def _run_child(work: Callable[[], None]) -> None:
    """Runs `work` in a child and raises what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except OSError as error:
            os.write(write, f"{error.errno or 0} {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    text = os.read(read, 4096).decode()
    os.close(read)
    os.waitpid(pid, 0)
    if text:
        number, _, message = text.partition(" ")
        raise OSError(int(number), message)


def _retire(events: Events, paths: list[str], attempts: int) -> None:
    if not groups.remove_groups(paths) and attempts > 0:
        events.later(0.01, lambda: _retire(events, paths, attempts - 1))


def ignore_terminal_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
