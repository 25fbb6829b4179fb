"""Signals by the names of the protocol."""

from __future__ import annotations

SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ABRT": 6, "KILL": 9, "USR1": 10, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
    "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "WINCH": 28,
}  # fmt: skip
"""What the host may send."""

_NAMES = {number: name for name, number in SIGNALS.items()} | {
    4: "ILL", 5: "TRAP", 7: "BUS", 8: "FPE", 11: "SEGV", 16: "STKFLT", 17: "CHLD", 23: "URG", 24: "XCPU", 25: "XFSZ",
    26: "VTALRM", 27: "PROF", 29: "IO", 30: "PWR", 31: "SYS",
}  # fmt: skip


def signal_name(number: int) -> str:
    return _NAMES.get(number, f"RT{number}")
