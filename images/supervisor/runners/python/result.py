"""The result of a run, made to fit its limit on the wire."""

from __future__ import annotations

import itertools
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


MAX_RESULT_BYTES = 60 << 10
MAX_VALUE_BYTES = 58 << 10
MAX_MESSAGE_BYTES = 8 << 10
MAX_FRAME_TEXT_BYTES = 400
MAX_ITEMS = 5000
BUILT_IN_CONTAINERS = (str, bytes, dict, list, tuple, set, frozenset)
CUT_MARK = "..."


def make_result(value: str | None, error: dict[str, Any] | None, exit_code: int, is_truncated: bool) -> dict[str, Any]:
    """`exit_code` is what the process exits with, or in a context what it would have exited with."""
    if value is not None:
        value, was_cut = fit_text(value, MAX_VALUE_BYTES)
        is_truncated = is_truncated or was_cut
    if error is not None:
        is_truncated = fit_error(error) or is_truncated
    return {"value": value, "error": error, "truncated": is_truncated, "exit_code": exit_code}


def fit_error(error: dict[str, Any]) -> bool:
    """Shortens the texts, then drops outer frames."""
    error["name"], was_name_cut = fit_text(error["name"], MAX_FRAME_TEXT_BYTES)
    error["message"], was_cut = fit_text(error["message"], MAX_MESSAGE_BYTES)
    for frame in error["traceback"]:
        for name in ("file", "function", "text"):
            frame[name], was_frame_cut = fit_text(frame[name], MAX_FRAME_TEXT_BYTES)
            was_cut = was_cut or was_frame_cut
    while measure(error) > MAX_VALUE_BYTES:
        del error["traceback"][0]
        was_cut = True
    return was_cut or was_name_cut


def fit_text(text: str, max_bytes: int) -> tuple[str, bool]:
    """Cuts a text so that it takes at most that many bytes as ASCII JSON; lone surrogates become escapes."""
    text = text[: max_bytes + 1].encode("utf-8", "backslashreplace").decode()
    if (size := measure(text)) <= max_bytes:
        return text, False
    while size > max_bytes:
        text = text[: min(len(text) - 1, (len(text) * max_bytes) // size)]
        size = measure(text) + len(CUT_MARK)
    return text + CUT_MARK, True


def measure(content: object) -> int:
    return len(json.dumps(content))


def format_value(value: object) -> tuple[str, bool]:
    """The value's `repr`, and whether it was cut."""
    try:
        head = take_head(value)
        return (repr(value), False) if head is value else (repr(head) + CUT_MARK, True)
    except Exception as error:
        return f"<{type(value).__name__} object, whose repr raised {type(error).__name__}>", False


def take_head(value: object) -> object:
    """The beginning of a built-in container that is far larger than what can be sent, otherwise the value itself."""
    if type(value) not in BUILT_IN_CONTAINERS:
        return value
    if isinstance(value, (str, bytes)):
        return value[:MAX_VALUE_BYTES] if len(value) > MAX_VALUE_BYTES else value
    if isinstance(value, dict):
        return dict(itertools.islice(value.items(), MAX_ITEMS)) if len(value) > MAX_ITEMS else value
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(itertools.islice(value, MAX_ITEMS)) if len(value) > MAX_ITEMS else value
    return value
