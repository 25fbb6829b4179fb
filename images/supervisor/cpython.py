"""CPython's private modules, typed. Nothing else imports one, so the next Python breaks this file alone.

They are what the public modules are made of, without what those import first: `signal`, `socket`, `collections`,
`json`, `hashlib` and `ctypes` together would take half of the start-up budget. Where one may be missing or another one,
its public twin takes its place.
"""

from __future__ import annotations

import sys
from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_PEEK,
    SCM_RIGHTS,
    SHUT_WR,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
    socketpair,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Only the public modules have type stubs.
    from collections import deque
    from collections.abc import Callable
    from hashlib import sha256
    from signal import (
        SIG_DFL,
        SIG_IGN,
        SIGCHLD,
        SIGCONT,
        SIGINT,
        SIGKILL,
        SIGPIPE,
        SIGSTOP,
        SIGTERM,
        SIGXFSZ,
        pidfd_send_signal,
        set_wakeup_fd,
    )
    from signal import signal as set_signal
    from typing import Any, Protocol, TypeAlias

    class Hash(Protocol):
        def update(self, data: bytes, /) -> None: ...
        def hexdigest(self) -> str: ...

    Scan: TypeAlias = "Callable[[str, int], tuple[object, int]]"
    Encode: TypeAlias = "Callable[[object], str]"
else:
    from _collections import deque
    from _signal import (
        SIG_DFL,
        SIG_IGN,
        SIGCHLD,
        SIGCONT,
        SIGINT,
        SIGKILL,
        SIGPIPE,
        SIGSTOP,
        SIGTERM,
        SIGXFSZ,
        pidfd_send_signal,
        set_wakeup_fd,
    )
    from _signal import signal as set_signal

    try:
        # asked for the other name, the import system would look through all folders
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

__all__ = [
    "AF_INET", "AF_INET6", "AF_UNIX", "MSG_DONTWAIT", "MSG_PEEK", "SCM_RIGHTS", "SHUT_WR", "SIGCHLD", "SIGCONT",
    "SIGINT", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGTERM", "SIGXFSZ", "SIG_DFL", "SIG_IGN", "SOCK_CLOEXEC",
    "SOCK_NONBLOCK", "SOCK_SEQPACKET", "SOCK_STREAM", "SOL_SOCKET", "SO_ERROR", "Long", "accept", "deque",
    "find_fork_exec", "find_json_codec", "get_errno", "load", "make_large_sha256", "pidfd_send_signal",
    "set_signal", "set_wakeup_fd", "sha256", "socket", "socketpair",
]  # fmt: skip


def accept(listener: socket) -> int:
    """The descriptor of the next connection. Neither class of sockets has this in public: `socket.accept` wraps it."""
    fd: int = listener._accept()[0]  # type: ignore[attr-defined]
    return fd


# Functions of the C library that `os` lacks. The ctypes package costs 2.6 ms and 1 MiB.

try:
    from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno

    class Long(_SimpleCData):  # type: ignore[type-arg]
        _type_ = "l"

    class _Function(CFuncPtr):
        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
        _restype_ = Long

    _library = dlopen(None, 2)  # type: ignore[arg-type]

    def load(name: str) -> Callable[..., Any]:
        """Takes ints, bytes and `Long`; returns a long as an int and leaves its errno in `get_errno()`."""
        return _Function(dlsym(_library, name))

except (ImportError, TypeError, AttributeError):
    import ctypes
    from ctypes import c_long as Long  # type: ignore[assignment]  # noqa: N812
    from ctypes import get_errno

    _ctypes_library = ctypes.CDLL(None, use_errno=True)

    def load(name: str) -> Callable[..., Any]:
        function = _ctypes_library[name]
        function.restype = ctypes.c_long
        return function


def find_fork_exec() -> Callable[..., int] | None:
    """The interpreter's vfork, where it takes the arguments we know."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return None
    try:
        from _posixsubprocess import fork_exec
    except ImportError:
        return None
    return fork_exec


def find_json_codec(settings: object, refuse: Callable[[object], object]) -> tuple[Scan, Encode] | None:
    """The json package's own C scanner and encoder, where the interpreter has them in the known shape."""
    try:
        from _json import encode_basestring, make_encoder, make_scanner

        scanner: Scan = make_scanner(settings)  # type: ignore[arg-type]
        encoder = make_encoder(None, refuse, encode_basestring, None, ":", ",", False, False, False)
        if scanner('{"a":[1]}', 0)[0] == {"a": [1]} and "".join(encoder({"a": [1]}, 0)) == '{"a":[1]}':
            return scanner, lambda value: "".join(encoder(value, 0))
    except (ImportError, TypeError, ValueError, AttributeError):
        pass
    return None


def make_large_sha256() -> Hash:
    """OpenSSL's, which is faster and larger; the interpreter's own where that is missing."""
    try:
        from _hashlib import openssl_sha256
    except ImportError:
        return sha256()
    return openssl_sha256()
