"""File names as text: UTF-8 as it is, other names with their bytes percent-encoded."""

from __future__ import annotations

import os

MAX_SHOWN_UNITS = 4096
"""Of UTF-16, which is how the host counts. A tree may be deeper than any one path can name."""

HEX = b"0123456789abcdefABCDEF"


def show(path: bytes) -> str:
    try:
        return path.decode()
    except UnicodeDecodeError:
        return "/".join(show_name(name) for name in path.split(b"/"))


def show_name(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        text = name.decode("utf-8", "surrogateescape").replace("%", "%25")
        return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in text)


def show_text(path: str) -> str:
    """For names that the os module decoded."""
    return path if path.isascii() else show(os.fsencode(path))


def fits(text: str) -> bool:
    """Whether the host takes it as a path."""
    return 2 * len(text) <= MAX_SHOWN_UNITS or len(text) + sum(c > "\uffff" for c in text) <= MAX_SHOWN_UNITS


def unescape(name: bytes) -> bytes:
    """The name that `show_name` would write like this, or the name itself if there is none."""
    if b"%" not in name:
        return name
    head, *rest = name.split(b"%")
    decoded = [head]
    for part in rest:
        if len(part) < 2 or part[0] not in HEX or part[1] not in HEX:
            return name
        decoded.append(bytes([int(part[:2], 16)]) + part[2:])
    candidate = b"".join(decoded)
    is_safe = b"\0" not in candidate and b"/" not in candidate
    return candidate if is_safe and show_name(candidate).encode() == name else name
