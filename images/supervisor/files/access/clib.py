"""C functions that Python's os module lacks, without the ctypes package: its import costs 2.6 ms and 1 MiB."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

try:
    from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno

    class Long(_SimpleCData):
        _type_ = "l"

    class Function(CFuncPtr):
        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
        _restype_ = Long

    _library = dlopen(None, 2)

    def load(name: str) -> Callable[..., Any]:
        """Takes ints, bytes and `Long`; returns a long as an int and leaves its errno in `get_errno()`."""
        return Function(dlsym(_library, name))

except (ImportError, TypeError, AttributeError):
    import ctypes
    from ctypes import c_long as Long  # noqa: N812
    from ctypes import get_errno

    _ctypes_library = ctypes.CDLL(None, use_errno=True)

    def load(name: str) -> Callable[..., Any]:
        function = _ctypes_library[name]
        function.restype = ctypes.c_long
        return function


__all__ = ["Long", "get_errno", "load"]
