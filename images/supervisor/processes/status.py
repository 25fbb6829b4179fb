"""How a process ended and what it used, in the words of the protocol."""

from __future__ import annotations

import os

from signals import signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource import struct_rusage


class Usage:
    __slots__ = ("user_us", "system_us", "max_rss_bytes")

    def __init__(self, user_us: int = 0, system_us: int = 0, max_rss_bytes: int = 0) -> None:
        self.user_us = user_us
        self.system_us = system_us
        self.max_rss_bytes = max_rss_bytes


def usage_of(rusage: struct_rusage) -> Usage:
    return Usage(int(rusage.ru_utime * 1e6), int(rusage.ru_stime * 1e6), rusage.ru_maxrss * 1024)


def split_status(wait_status: int) -> tuple[int | None, str | None]:
    """(exit code, signal), one of them None."""
    if os.WIFSIGNALED(wait_status):
        return None, signal_name(os.WTERMSIG(wait_status))
    return os.WEXITSTATUS(wait_status), None
