"""One sandbox from the fork to the last thing removed."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from context import Context
from errors import CreateError, classify
from launch import Launch
from owners.evidence import find_breach, read_start_time, read_status
from owners.footprint import Done
from owners.records import make_record
from sandboxes import make
from sandboxes.descriptors import Pipes

_SETUP_SECONDS = 10.0
_SETUP_POLL_SECONDS = 0.001
_OUTER_POLL_SECONDS = 0.01
_EMPTY_POLL_FIRST_SECONDS, _EMPTY_POLL_MAX_SECONDS = 0.001, 0.02
_STDERR_BYTES = 8192

Report = Callable[[dict[str, Any]], None]


class Sandbox:
    """`report` gets `started` or `failed` once, and after `started` one `ended`. Between them nothing is promised about
    order across sandboxes."""

    def __init__(self, context: Context, plan: Launch, report: Report, forget: Callable[[str], None]) -> None:
        self.id = plan["id"]
        self.step = "record"
        self._context = context
        self._events = context.events
        self._report = report
        self._forget = forget
        self._plan = plan
        self._began = time.monotonic()
        self._outer: int | None = None
        self._inner: int | None = None
        self._inner_pidfd: int | None = None
        self._status_text = b""
        self._stderr = b""
        self._started = False
        self._failure: CreateError | None = None
        self._exit: str | None = None
        self._ended = False
        self._when_ended: Callable[[], None] | None = None
        self._removing: list[Done] | None = None
        self._timings: dict[str, float] = {}
        self._pipes: Pipes | None = None
        self._footprint, self._identity = make.make_footprint(context, plan)
        self._uid = os.getuid() if self._identity is None else self._identity["uid"]
        self._mark("record")

    def start(self) -> None:
        """Raises CreateError or OSError, `step` says where; the caller then calls `remove`."""
        self.step = "workspace"
        make.make_workspace(self._context, self._plan, self._footprint, self._identity)
        self._mark("workspace")
        self.step = "cgroup"
        make.make_groups(self._context, self._plan)
        self._mark("cgroup")
        self.step = "socket"
        make.give_socket(self._plan, self._identity)
        self.step = "pipes"
        self._pipes = Pipes(self._context, self._plan)
        self.step = "fork"
        self._outer = make.fork_child(self._context, self._plan, self._pipes, self._identity)
        self._watch(self._outer, self._pipes)
        self._mark("fork")

    def _watch(self, outer: int, pipes: Pipes) -> None:
        pipes.close_child_ends()
        self._events.watch_child(outer, self._on_exit)
        self._events.watch(pipes.errors, self._on_exec)
        self._events.watch(pipes.status, self._on_status)
        self._events.watch(pipes.stderr, self._on_stderr)
        self._events.later(_SETUP_SECONDS, self._check_setup_time)

    def kill(self) -> None:
        if self._outer is not None and self._exit is None:
            os.kill(self._outer, signal.SIGKILL)
        if self._inner_pidfd is not None:
            try:
                signal.pidfd_send_signal(self._inner_pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._footprint.kill()

    def remove(self, keep_workspace: bool, owner_is_gone: bool, done: Done) -> None:
        """Kills, waits until nothing lives, removes. Later calls wait for the first one. After a failure everything
        that is left stays recorded, and may be removed again."""
        self._footprint.owner_is_gone |= owner_is_gone
        if self._removing is not None:
            self._removing.append(done)
            return
        self._removing = [done]
        self.kill()
        self._after_end(lambda: self._footprint.remove(self._context, keep_workspace, self._finish_removal))

    def _after_end(self, remove_rest: Callable[[], None]) -> None:
        if self._outer is None and self._pipes is not None:
            self._pipes.close()
        if self._ended or self._outer is None:
            remove_rest()
            return

        def give_up() -> None:
            if self._when_ended is remove_rest:
                self._when_ended = None
                self._finish_removal("its processes do not end")

        self._when_ended = remove_rest
        self._events.later(self._footprint.patience(self._context), give_up)

    def _finish_removal(self, problem: str | None) -> None:
        callbacks, self._removing = self._removing or [], None
        if problem is None:
            self._forget(self.id)
        for callback in callbacks:
            callback(problem)

    def _mark(self, phase: str) -> None:
        self._timings[phase] = round((time.monotonic() - self._began) * 1000, 3)

    def _on_exec(self) -> None:
        """End of file means that bubblewrap runs; anything else is the step that failed."""
        assert self._pipes is not None
        text = os.read(self._pipes.errors, 4096)
        self._events.unwatch(self._pipes.errors)
        self._mark("exec")
        if text:
            failure = json.loads(text)
            self._failure = classify(failure["errno"], failure["step"], failure["message"])
        else:
            self._await_inner()

    def _on_status(self) -> None:
        assert self._pipes is not None
        chunk = os.read(self._pipes.status, 4096)
        self._status_text += chunk
        if not chunk or len(self._status_text) > 65536:
            self._events.unwatch(self._pipes.status)
        if self._inner is None and b"\n" in self._status_text:
            self._mark("bubblewrap")
            self._take_inner(int(json.loads(self._status_text.split(b"\n")[0])["child-pid"]))

    def _take_inner(self, pid: int) -> None:
        self._inner = pid
        try:
            self._inner_pidfd = os.pidfd_open(pid)
            self._footprint.processes = [(member, read_start_time(member)) for member in (pid, self._outer or pid)]
        except OSError:
            return
        if not self._footprint.group_paths and self._footprint.record is not None:
            record = make_record(self._context, self._footprint)
            self._footprint.record.write(json.dumps(record).encode())
        self._await_command()

    def _await_command(self) -> None:
        """bubblewrap tells nobody when it becomes the command, so its name is looked at until it changes. Then the host
        reads for itself what protects the process."""
        if self._exit is not None or self._inner is None or self._failure is not None:
            return
        try:
            status = read_status(self._inner)
            if status["Name"] == self._bubblewrap_name():
                self._events.later(_SETUP_POLL_SECONDS, self._await_command)
                return
            breach = find_breach(self._inner, status, self._uid)
        except (FileNotFoundError, ProcessLookupError):
            return
        except (OSError, KeyError) as error:
            breach = f"it cannot be seen: {error}"
        if breach is not None:
            self._fail(CreateError("isolation_failed", "evidence", breach))
            return
        self._mark("command")
        self._started = True
        self._report({"event": "started", "pid": self._inner, "uid": self._uid, "timings": self._timings})

    def _await_inner(self) -> None:
        """A bubblewrap that becomes something else before it made a sandbox is not bubblewrap."""
        if self._exit is not None or self._inner is not None or self._failure is not None or self._outer is None:
            return
        try:
            name = read_status(self._outer)["Name"]
        except (OSError, KeyError):
            return
        if name == self._bubblewrap_name():
            self._events.later(_OUTER_POLL_SECONDS, self._await_inner)
        else:
            self._fail(
                CreateError("isolation_failed", "evidence", f"bubblewrap became {name} without making a sandbox")
            )

    def _bubblewrap_name(self) -> str:
        return os.path.basename(self._context.bubblewrap)[:15]

    def _check_setup_time(self) -> None:
        if not self._started and self._failure is None and self._exit is None:
            self._fail(CreateError("create_failed", "setup", f"bubblewrap was not ready after {_SETUP_SECONDS:.0f} s"))

    def _fail(self, failure: CreateError) -> None:
        self._failure = failure
        self.kill()

    def _on_stderr(self) -> None:
        assert self._pipes is not None
        chunk = os.read(self._pipes.stderr, 65536)
        self._stderr = (self._stderr + chunk)[-_STDERR_BYTES:]
        if not chunk:
            self._events.unwatch(self._pipes.stderr)

    def _on_exit(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self._exit = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        self._drain()
        self._await_empty(_EMPTY_POLL_FIRST_SECONDS)

    def _drain(self) -> None:
        """What was written before the exit; nothing can be written after it that matters."""
        assert self._pipes is not None
        pipes = self._pipes
        for fd, read in ((pipes.errors, self._on_exec), (pipes.stderr, self._on_stderr)):
            if self._events.is_watched(fd):
                try:
                    read()
                except BlockingIOError:
                    pass
        for fd in (pipes.status, pipes.errors, pipes.stderr):
            self._events.unwatch(fd)
        pipes.close()

    def _await_empty(self, delay: float) -> None:
        """bubblewrap's own exit proves nothing: the sandbox has ended when its groups, or its pid namespace, are
        empty."""
        self.kill()
        if self._is_empty():
            self._end()
        else:
            self._events.later(delay, lambda: self._await_empty(min(delay * 2, _EMPTY_POLL_MAX_SECONDS)))

    def _is_empty(self) -> bool:
        self._events.collect_children()
        if not self._footprint.group_paths and self._events.kill_orphans():
            return False
        if self._inner_pidfd is not None:
            try:
                signal.pidfd_send_signal(self._inner_pidfd, 0)
                return False
            except ProcessLookupError:
                pass
        return self._footprint.is_empty()

    def _end(self) -> None:
        self._ended = True
        if self._inner_pidfd is not None:
            os.close(self._inner_pidfd)
            self._inner_pidfd = None
        detail = self._stderr.decode(errors="replace").strip()
        if self._started:
            self._report({"event": "ended", "detail": f"{self._exit}{': ' if detail else ''}{detail}"})
        else:
            failure = self._failure or CreateError(
                "isolation_failed", "bubblewrap", detail or f"bubblewrap ended with {self._exit}"
            )
            self._report(
                {
                    "event": "failed",
                    "code": failure.code,
                    "step": failure.step,
                    "message": str(failure),
                    "stderr": detail,
                }
            )
        remove_rest, self._when_ended = self._when_ended, None
        if remove_rest is not None:
            remove_rest()
