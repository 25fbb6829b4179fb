"""The one system call that Python does not offer at start-up."""

from __future__ import annotations

PR_SET_DUMPABLE = 4


def make_undumpable() -> None:
    """From now on no process of this uid opens our memory, environment or descriptors. Raises OSError if refused."""
    try:
        # what ctypes itself calls, at a fifth of its import time
        from _ctypes import call_function, dlopen, dlsym

        result = call_function(dlsym(dlopen(None, 2), "prctl"), (PR_SET_DUMPABLE, 0, 0, 0, 0))
    except (ImportError, TypeError):
        import ctypes

        result = ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if result != 0:
        raise OSError("prctl(PR_SET_DUMPABLE) was refused")
