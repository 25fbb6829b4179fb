"""How a process ended and what it used, in the words of the protocol."""

from __future__ import annotations

import os

from channel.requests import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource import struct_rusage

_NAMES = {number: name for name, number in SIGNALS.items()} | {
    4: "ILL", 5: "TRAP", 7: "BUS", 8: "FPE", 11: "SEGV", 16: "STKFLT", 17: "CHLD", 23: "URG", 24: "XCPU", 25: "XFSZ",
    26: "VTALRM", 27: "PROF", 29: "IO", 30: "PWR", 31: "SYS",
}  # fmt: skip


class Usage:
    __slots__ = ("user_us", "system_us", "max_rss_bytes")

    def __init__(self, user_us: int = 0, system_us: int = 0, max_rss_bytes: int = 0) -> None:
        self.user_us = user_us
        self.system_us = system_us
        self.max_rss_bytes = max_rss_bytes


def usage_of(rusage: struct_rusage) -> Usage:
    return Usage(int(rusage.ru_utime * 1e6), int(rusage.ru_stime * 1e6), rusage.ru_maxrss * 1024)


def signal_name(number: int) -> str:
    return _NAMES.get(number, f"RT{number}")


def split_status(wait_status: int) -> tuple[int | None, str | None]:
    """(exit code, signal), one of them None."""
    if os.WIFSIGNALED(wait_status):
        return None, signal_name(os.WTERMSIG(wait_status))
    return os.WEXITSTATUS(wait_status), None
