"""From a request to the code that serves it. A request that fits no schema fails with `invalid`; nothing here may
raise."""

from __future__ import annotations

from channel.calls import Operation, OpError, code_of_os_error, message_of_os_error
from channel.requests import SIGNALS, explain_bad_request
from processes.start import start_process
from settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    from channel.calls import Call
    from core import Core

    Handler: TypeAlias = "Callable[[Core, Call, dict[str, Any]], None]"


def serve(core: Core, call: Call, request: dict[str, Any]) -> None:
    problem = explain_bad_request(request)
    if problem is not None:
        call.fail("invalid", problem)
        return
    try:
        handler = HANDLERS.get(request["op"], _serve_files)
        handler(core, call, request)
    except OpError as error:
        call.fail(error.code, error.message)
    except OSError as error:
        call.fail(code_of_os_error(error), message_of_os_error(error))
    except Exception as error:  # one call's trouble is not the sandbox's end
        core.loop.report(error)
        call.fail("io_error", repr(error))


def _serve_files(core: Core, call: Call, request: dict[str, Any]) -> None:
    core.require_settings()
    from files import OPERATIONS

    Operation(core.loop, call, OPERATIONS[request["op"]](call, request))


def _init(core: Core, call: Call, request: dict[str, Any]) -> None:
    core.configure(Settings(request))
    with open("/proc/sys/kernel/pid_max", "rb") as file:
        call.done({"pid_max": int(file.read())})


def _ping(_core: Core, call: Call, _request: dict[str, Any]) -> None:
    call.done({})


def _attach(core: Core, call: Call, request: dict[str, Any]) -> None:
    process = core.table.find(request["pid"])
    if process.viewer is not None:
        raise OpError("busy", f"process {process.pid} is followed by another call")
    process.attach(call)


def _processes(core: Core, call: Call, _request: dict[str, Any]) -> None:
    call.done({"processes": core.table.list()})


def _signal(core: Core, call: Call, request: dict[str, Any]) -> None:
    core.table.send_signal(request["pid"], SIGNALS[request["signal"]])
    call.done({})


def _cancel(core: Core, call: Call, request: dict[str, Any]) -> None:
    target = core.dialer.find_call(request["target"])
    if target is None or target is call:
        raise OpError("not_found", f"no call {request['target']!r}")
    target.cancel_at_once()
    call.done({})


def _connect(core: Core, call: Call, request: dict[str, Any]) -> None:
    from network.ports import connect_port

    connect_port(core.loop, call, request["port"])


def _run(core: Core, call: Call, request: dict[str, Any]) -> None:
    core.code.run(call, request)


def _contexts(core: Core, call: Call, _request: dict[str, Any]) -> None:
    call.done({"contexts": core.code.list_contexts()})


def _interrupt(core: Core, call: Call, request: dict[str, Any]) -> None:
    core.code.interrupt(request["context"], lambda: call.done({}))


def _restart(core: Core, call: Call, request: dict[str, Any]) -> None:
    core.code.restart(request["context"], call)


def _remove(core: Core, call: Call, request: dict[str, Any]) -> None:
    core.code.remove(request["context"], lambda: call.done({}))


HANDLERS: Mapping[str, Handler] = {
    "init": _init,
    "ping": _ping,
    "start": start_process,
    "attach": _attach,
    "processes": _processes,
    "signal": _signal,
    "cancel": _cancel,
    "connect": _connect,
    "run": _run,
    "contexts": _contexts,
    "context_interrupt": _interrupt,
    "context_restart": _restart,
    "context_remove": _remove,
}
