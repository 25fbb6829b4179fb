"""The file operations of the protocol. A module is loaded when its first call comes: an idle sandbox stays small."""

from __future__ import annotations

from .contract import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from channel.calls import Call

    from .contract import Operation, Request, Steps

MODULES = {
    "read": "read",
    "write": "write",
    "list": "entries",
    "stat": "entries",
    "mkdir": "folders",
    "move": "folders",
    "remove": "remove",
    "watch": "watch",
    "tar_in": "archive.tar_in",
    "tar_out": "archive.tar_out",
    "snapshot": "changes.diff",
    "diff": "changes.diff",
    "hash_tree": "changes.hash_tree",
    "space": "space",
}


def load_module(name: str) -> ModuleType:
    return __import__(f"{__name__}.{name}", fromlist=(name,))


def make_operation(op: str, module: str) -> Operation:
    def run(call: Call, request: Request) -> Steps:
        from .errors import describe

        operation: Operation = getattr(load_module(module), f"run_{op}")
        try:
            return (yield from operation(call, request))
        except OSError as error:
            raise describe(error, str(request.get("path", "workspace"))) from error

    return run


OPERATIONS: dict[str, Operation] = {op: make_operation(op, module) for op, module in MODULES.items()}
