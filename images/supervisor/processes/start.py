"""`start`: a process with pipes or a terminal."""

from __future__ import annotations

import os

from loop import close_quietly
from network.relay import open_relay
from processes.process import Process, resize_terminal
from processes.spawn import Plan, spawn
from processes.stdin import InputWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from channel.calls import Call
    from channel.dialer import Dialer
    from loop import Loop
    from processes.reaper import Reaper
    from processes.table import ProcessTable
    from settings import Settings

DEFAULT_TERMINAL = "xterm-256color"


class Starter:
    __slots__ = ("_loop", "_dialer", "_table", "_reaper")

    def __init__(self, loop: Loop, dialer: Dialer, table: ProcessTable, reaper: Reaper) -> None:
        self._loop = loop
        self._dialer = dialer
        self._table = table
        self._reaper = reaper

    def start(self, settings: Settings, call: Call, request: dict[str, Any]) -> None:
        folder = settings.folder(request["cwd"])
        process = Process(
            self._loop,
            self._table,
            settings,
            call.id,
            request["argv"],
            live_bytes=request["live_bytes"],
            background=request["background"],
        )
        process.relay = open_relay(self._loop, self._dialer, call.id)
        environment = settings.environment(call.id, process.relay.port, request["env"])
        try:
            if request["pty"] is None:
                _start_with_pipes(self._loop, process, folder, environment, request)
            else:
                environment.setdefault("TERM", DEFAULT_TERMINAL)
                _start_with_terminal(self._loop, process, folder, environment, request)
        except BaseException:
            process.relay.close()
            process.stdout.settle()
            process.stderr.settle()
            raise
        self._reaper.watch(process.pid, process.main_ended)
        self._table.begin(process)
        process.end_after(request["deadline_ms"])
        if process.background:
            process.announce_background(call)
        else:
            process.attach(call)


def _start_with_pipes(
    loop: Loop, process: Process, folder: str, environment: dict[str, str], request: dict[str, Any]
) -> None:
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
        process.take_input(InputWriter(loop, ours[0], is_terminal=False))
    process.stdout.read_from(ours[-2])
    process.stderr.read_from(ours[-1])


def _start_with_terminal(
    loop: Loop, process: Process, folder: str, environment: dict[str, str], request: dict[str, Any]
) -> None:
    master, slave = os.openpty()
    try:
        resize_terminal(master, request["pty"]["rows"], request["pty"]["cols"])
        plan = Plan(
            request["argv"], environment, folder, [slave] * 3, controls_terminal=True, rlimits=request["rlimits"]
        )
        process.began(spawn(plan))
        process.terminal_fd = os.dup(master)
        if request["stdin"]:
            process.take_input(InputWriter(loop, os.dup(master), is_terminal=True))
        process.stdout.read_from(master)
    except BaseException:
        close_quietly(master)
        raise
    finally:
        close_quietly(slave)
