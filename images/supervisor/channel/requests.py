"""The closed schemas of everything the host may ask, as data: a missing, unknown or wrongly typed field is refused."""

from __future__ import annotations

from signals import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from channel.calls import Fields

    Check: TypeAlias = "Callable[[object], bool]"
    Schema: TypeAlias = "Mapping[str, Check]"

MAX_INTEGER = 2**53 - 1
MAX_TIMER_MS = 366 * 24 * 3600 * 1000
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


def is_bool(value: object) -> bool:
    return isinstance(value, bool)


def is_text(value: object) -> bool:
    """Text that a system call takes: no NUL, and only characters that can be encoded."""
    return isinstance(value, str) and "\0" not in value and _is_encodable(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_path(value: object) -> bool:
    return is_text(value) and value != ""


def is_id(value: object) -> bool:
    """An id names files and environment variables, so it is plain, short and no dot file."""
    return isinstance(value, str) and 0 < len(value) <= 64 and value[0] != "." and _ID_CHARACTERS.issuperset(value)


def is_signal(value: object) -> bool:
    return isinstance(value, str) and value in SIGNALS


def is_integer_between(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_null_or(check: Check) -> Check:
    return lambda value: value is None or check(value)


def is_list_of(check: Check, least: int = 0) -> Check:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(check, value))


def is_one_of(*names: str) -> Check:
    return lambda value: isinstance(value, str) and value in names


def is_record(schema: Schema, optional: Schema | None = None) -> Check:
    return lambda value: isinstance(value, dict) and explain_mismatch(value, schema, optional) is None


def is_environment(value: object) -> bool:
    return isinstance(value, dict) and all(
        is_path(name) and "=" not in name and is_text(content) for name, content in value.items()
    )


def explain_mismatch(value: Fields, schema: Schema, optional: Schema | None = None) -> str | None:
    for name, check in schema.items():
        if name not in value:
            return f"{name} is missing"
        if not check(value[name]):
            return f"{name} is not valid"
    for name in value:
        if name not in schema and not (optional is not None and name in optional and optional[name](value[name])):
            return f"{name[:64]!r} is unknown or not valid"
    return None


_count = is_integer_between(0, MAX_INTEGER)
_pid = is_integer_between(2, 2**22)
_port = is_integer_between(1, 65535)
_cells = is_integer_between(1, 32767)
_milliseconds = is_integer_between(0, MAX_TIMER_MS)
_rlimits = is_record({}, {"cpu_seconds": _count, "open_files": _count, "file_bytes": _count, "address_bytes": _count})
_argv = is_list_of(is_text, least=1)
_name = is_id

_OP: Schema = {"op": is_text, "call": is_id}
_RUNNING: Schema = {
    **_OP,
    "cwd": is_path,
    "env": is_environment,
    "stdin": is_bool,
    "rlimits": _rlimits,
    "deadline_ms": is_null_or(_milliseconds),
    "live_bytes": is_null_or(_count),
}
_AT_PATH: Schema = {**_OP, "path": is_path}
_IN_CONTEXT: Schema = {**_OP, "context": _name}

REQUESTS: Mapping[str, Schema] = {
    "init": {
        **_OP,
        "hostname": is_text,
        "workspace": lambda value: is_path(value) and str(value).startswith("/"),
        "env": is_environment,
        "python": is_null_or(is_record({"argv": _argv, "preload": is_list_of(is_text), "warm": is_bool})),
        "javascript": is_null_or(is_record({"argv": _argv, "warm": is_bool})),
        "spill_bytes": _count,
    },
    "start": {
        **_RUNNING,
        "argv": _argv,
        "pty": is_null_or(is_record({"rows": _cells, "cols": _cells})),
        "background": is_bool,
    },
    "attach": {**_OP, "pid": _pid},
    "processes": _OP,
    "signal": {**_OP, "pid": _pid, "signal": is_signal},
    "cancel": {**_OP, "target": is_id},
    "run": {
        **_RUNNING,
        "language": is_one_of("python", "javascript"),
        "context": is_null_or(_name),
        "stdin": lambda value: value is False,
        "file": is_text,
    },
    "contexts": _OP,
    "context_interrupt": _IN_CONTEXT,
    "context_restart": _IN_CONTEXT,
    "context_remove": _IN_CONTEXT,
    "connect": {**_OP, "port": _port},
    "ping": _OP,
    "read": {**_AT_PATH, "offset": _count, "length": is_null_or(_count)},
    "write": {
        **_AT_PATH,
        "mode": is_integer_between(0, 0o7777),
        "parents": is_bool,
        "append": is_bool,
        "offset": is_null_or(_count),
        "exclusive": is_bool,
    },
    "list": {**_AT_PATH, "depth": _count, "limit": _count},
    "stat": _AT_PATH,
    "mkdir": {**_AT_PATH, "parents": is_bool},
    "move": {**_OP, "from": is_path, "to": is_path},
    "remove": {**_AT_PATH, "recursive": is_bool},
    "watch": {**_AT_PATH, "recursive": is_bool},
    "tar_in": {
        **_AT_PATH,
        "links": is_one_of("inside", "any"),
        "withhold": is_null_or(is_list_of(is_text)),
        "allow": is_list_of(is_text),
    },
    "tar_out": {**_AT_PATH, "paths": is_null_or(is_list_of(is_path))},
    "snapshot": _OP,
    "diff": {**_OP, "max_files": _count, "max_hash_bytes": _count},
    "hash_tree": _AT_PATH,
    "space": {**_OP, "used": is_bool},
}

CONTROLS: Mapping[str, Schema] = {
    "cancel": {"op": is_text},
    "signal": {"op": is_text, "signal": is_signal},
    "resize": {"op": is_text, "rows": _cells, "cols": _cells},
}


def explain_bad_request(request: Fields) -> str | None:
    op = request.get("op")
    schema = REQUESTS.get(op) if isinstance(op, str) else None
    if schema is None:
        return "op is unknown"
    return explain_mismatch(request, schema)


def explain_bad_control(control: Fields) -> str | None:
    """For a control inside a call. `release` is none: it only follows the call's end."""
    op = control.get("op")
    schema = CONTROLS.get(op) if isinstance(op, str) else None
    if schema is None:
        return "op is unknown"
    return explain_mismatch(control, schema)
