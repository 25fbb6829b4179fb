"""`start`: a process with pipes or a terminal."""

from __future__ import annotations

import os

from channel.calls import OpError
from loop import close_quietly
from network.relay import Relay
from processes.process import Process, resize_terminal
from processes.spawn import Plan, spawn
from processes.stdin import InputWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from channel.calls import Call
    from core import Core

DEFAULT_TERMINAL = "xterm-256color"


def start_process(core: Core, call: Call, request: dict[str, Any]) -> None:
    folder = resolve_folder(core, request["cwd"])
    process = Process(core, call.id, request["argv"], request["live_bytes"], request["background"])
    process.relay = make_relay(core, call.id)
    environment = core.settings.environment(call.id, process.relay.port, request["env"])
    try:
        if request["pty"] is None:
            _start_with_pipes(process, folder, environment, request)
        else:
            environment.setdefault("TERM", DEFAULT_TERMINAL)
            _start_with_terminal(process, folder, environment, request)
    except BaseException:
        process.relay.close()
        process.stdout.settle()
        process.stderr.settle()
        raise
    core.watch_exit(process.pid, process.main_ended)
    core.table.begin(process)
    process.end_after(request["deadline_ms"])
    if process.background:
        process.announce_background(call)
    else:
        process.attach(call)


def make_relay(core: Core, call_id: str) -> Relay:
    try:
        return Relay(core.loop, core.dialer, call_id)
    except OSError as error:
        raise OpError("unavailable", f"no port for the relay: {os.strerror(error.errno or 0)}") from None


def resolve_folder(core: Core, path: str) -> str:
    folder = core.settings.path(path)
    if not os.path.isdir(folder):
        os.stat(folder)
        raise OpError("not_a_directory", f"{path!r} is not a directory")
    return folder


def _start_with_pipes(process: Process, folder: str, environment: dict[str, str], request: dict[str, Any]) -> None:
    """Ends of pipes that the child gets are closed here in every case; our own ends only when there is no child."""
    theirs: list[int] = []
    ours: list[int] = []

    def add_pipe(their_end: int) -> None:
        ends = os.pipe()
        theirs.append(ends[their_end])
        ours.append(ends[1 - their_end])

    try:
        if request["stdin"]:
            add_pipe(0)
        add_pipe(1)
        add_pipe(1)
        descriptors = theirs if request["stdin"] else [0, *theirs]  # our own 0 is /dev/null
        process.began(spawn(Plan(request["argv"], environment, folder, descriptors, rlimits=request["rlimits"])))
    except BaseException:
        for fd in ours:
            close_quietly(fd)
        raise
    finally:
        for fd in theirs:
            close_quietly(fd)
    if request["stdin"]:
        process.take_input(InputWriter(process.core.loop, ours[0], is_terminal=False))
    process.stdout.read_from(ours[-2])
    process.stderr.read_from(ours[-1])


def _start_with_terminal(process: Process, folder: str, environment: dict[str, str], request: dict[str, Any]) -> None:
    master, slave = os.openpty()
    try:
        resize_terminal(master, request["pty"]["rows"], request["pty"]["cols"])
        plan = Plan(
            request["argv"], environment, folder, [slave] * 3, controls_terminal=True, rlimits=request["rlimits"]
        )
        process.began(spawn(plan))
        process.terminal_fd = os.dup(master)
        if request["stdin"]:
            process.take_input(InputWriter(process.core.loop, os.dup(master), is_terminal=True))
        process.stdout.read_from(master)
    except BaseException:
        close_quietly(master)
        raise
    finally:
        close_quietly(slave)
