"""One call as the code that serves it sees it, and the driver for calls written as generators."""

from __future__ import annotations

import errno
import os
from time import monotonic

from cpython import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol, TypeAlias

    from loop import Loop

    Frame: TypeAlias = "bytes | dict[str, object] | None"
    Fields: TypeAlias = "dict[str, object]"
    OperationGenerator: TypeAlias = "Generator[Wait, object, Fields]"

    class Channel(Protocol):
        """What a call needs of the connection that carries it."""

        buffered: int

        def send(self, kind: int, payload: bytes) -> None: ...
        def send_control(self, fields: Fields) -> None: ...
        def end_call(self) -> None: ...
        def pause_reading(self) -> None: ...
        def resume_reading(self) -> None: ...


HIGH_WATER_BYTES = 1 << 20
LOW_WATER_BYTES = 1 << 19
MAX_PAYLOAD_BYTES = 1 << 20
TURN_SECONDS = 0.01

DATA, STDOUT, STDERR, END = 2, 3, 4, 5


class Wait:
    """What an operation yields: the reason why it cannot go on now."""

    __slots__ = ("kind", "fd")

    def __init__(self, kind: str, fd: int = -1) -> None:
        self.kind = kind
        self.fd = fd


DRAIN = Wait("drain")
"""Resume when the outgoing buffer has room."""
FRAME = Wait("frame")
"""Resume with the next incoming frame: bytes for data, None for end, dict for a control."""
STEP = Wait("step")
"""Resume after other work had a turn."""


def Readable(fd: int) -> Wait:  # noqa: N802 (reads as a value beside DRAIN, FRAME and STEP)
    """Resume when `fd` is readable (value True) or a frame is waiting (value False)."""
    return Wait("readable", fd)


class OpError(Exception):
    """Ends a call with `failed`; `code` is one of the codes of the protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_CODES = {
    errno.ENOENT: "not_found",
    errno.EEXIST: "exists",
    errno.ENOTDIR: "not_a_directory",
    errno.EISDIR: "is_a_directory",
    errno.ENOTEMPTY: "not_empty",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EFBIG: "no_space",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.ELOOP: "refused",
    errno.EXDEV: "refused",
    errno.ENAMETOOLONG: "invalid",
    errno.EINVAL: "invalid",
    errno.EAGAIN: "unavailable",
    errno.ENOMEM: "unavailable",
    errno.EMFILE: "unavailable",
    errno.ECONNREFUSED: "unavailable",
}


def code_of_os_error(error: OSError) -> str:
    return _CODES.get(error.errno or 0, "io_error")


def message_of_os_error(error: OSError) -> str:
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"{text}: {error.filename!r}" if error.filename is not None else text


class Call:
    """One call on one connection. Sends never block: whoever sends a lot looks at `full` and waits for DRAIN."""

    __slots__ = (
        "id", "workspace", "cancelled", "lost", "finished", "frames", "frame_bytes", "paused",
        "on_frame", "on_drain", "on_lost", "_channel",
    )  # fmt: skip

    def __init__(self, channel: Channel, call_id: str, workspace: str) -> None:
        self.id = call_id
        self.workspace = workspace
        self.cancelled = False
        """The host asked to stop, or the connection is gone."""
        self.lost = False
        self.finished = False
        self.frames: deque[Frame] = deque()
        self.frame_bytes = 0
        self.paused = False
        self.on_frame: Callable[[], None] | None = None
        self.on_drain: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self._channel = channel

    @property
    def full(self) -> bool:
        return not self.lost and self._channel.buffered >= HIGH_WATER_BYTES

    def send_data(self, payload: bytes | bytearray | memoryview) -> None:
        self.send_bytes(DATA, payload)

    def send_bytes(self, kind: int, payload: bytes | bytearray | memoryview) -> None:
        """Takes a copy of what is not immutable, so that the caller may use its buffer again."""
        if self.lost or not payload:
            return
        if len(payload) <= MAX_PAYLOAD_BYTES:
            self._channel.send(kind, bytes(payload))
            return
        view = memoryview(payload)
        for start in range(0, len(view), MAX_PAYLOAD_BYTES):
            self._channel.send(kind, bytes(view[start : start + MAX_PAYLOAD_BYTES]))

    def send_end(self) -> None:
        if not self.lost:
            self._channel.send(END, b"")

    def send_event(self, fields: Fields) -> None:
        """`fields` holds `op` and what the event carries; at most 64 KiB as JSON."""
        if not self.lost:
            self._channel.send_control(fields)

    def done(self, fields: Fields) -> None:
        self._finish({"op": "done", **fields})

    def fail(self, code: str, message: str) -> None:
        self._finish({"op": "failed", "code": code, "message": message[:4096]})

    def _finish(self, fields: Fields) -> None:
        if self.finished:
            return
        self.finished = True
        self.frames.clear()
        self.on_frame = self.on_drain = self.on_lost = None
        if not self.lost:
            self._channel.send_control(fields)
            self._channel.end_call()

    def pause_reading(self) -> None:
        """Lets the host wait: for who keeps what it takes in a buffer of its own."""
        if not self.lost:
            self._channel.pause_reading()

    def resume_reading(self) -> None:
        if not self.lost and not self.paused:
            self._channel.resume_reading()

    def take_frame(self) -> Frame:
        """The next waiting frame; look at `frames` first."""
        frame: Frame = self.frames.popleft()
        if isinstance(frame, bytes):
            self.frame_bytes -= len(frame)
            if self.paused and self.frame_bytes < LOW_WATER_BYTES:
                self.paused = False
                self._channel.resume_reading()
        return frame

    # Called by the connection.

    def push_frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        if isinstance(frame, bytes):
            self.frame_bytes += len(frame)
            if self.frame_bytes >= HIGH_WATER_BYTES and not self.paused:
                self.paused = True
                self._channel.pause_reading()
        elif frame is not None and frame.get("op") == "cancel":
            self.cancelled = True
        if self.on_frame is not None:
            self.on_frame()

    def cancel_at_once(self) -> None:
        """Before whatever waits to be taken; asked for on another connection."""
        if self.finished or self.lost:
            return
        self.cancelled = True
        self.frames.appendleft({"op": "cancel"})
        if self.on_frame is not None:
            self.on_frame()

    def drained(self) -> None:
        if self.on_drain is not None:
            self.on_drain()

    def lose(self) -> None:
        self.lost = self.cancelled = True
        self.frames.clear()
        if self.on_lost is not None:
            self.on_lost()


class Operation:
    """Runs one generator to its end on the loop, and ends the call with what it returns or raises."""

    __slots__ = ("_loop", "_call", "_generator", "_over", "_waiting_for", "_watched_fd")

    def __init__(self, loop: Loop, call: Call, generator: OperationGenerator) -> None:
        self._loop = loop
        self._call = call
        self._generator = generator
        self._over = False
        self._waiting_for = ""
        self._watched_fd = -1
        call.on_frame = self._frame_arrived
        call.on_drain = self._drained
        call.on_lost = self._lost
        self._resume(None)

    def _resume(self, value: object) -> None:
        if self._over:
            return
        self._waiting_for = ""
        turn_ends = monotonic() + TURN_SECONDS
        try:
            while True:
                wait = self._generator.send(value)
                ready, value = self._poll(wait)
                if not ready:
                    return
                if monotonic() > turn_ends:
                    self._waiting_for = "turn"
                    self._loop.soon(lambda: self._resume(value))  # noqa: B023 (the loop ends here)
                    return
        except StopIteration as stop:
            self._over = True
            self._call.done(stop.value or {})
        except OpError as error:
            self._over = True
            self._call.fail(error.code, error.message)
        except OSError as error:
            self._over = True
            self._call.fail(code_of_os_error(error), message_of_os_error(error))
        except Exception as error:  # whatever goes wrong ends this call, never the sandbox
            self._over = True
            self._loop.report(error)
            self._call.fail("invalid" if isinstance(error, ValueError) else "io_error", repr(error))

    def _poll(self, wait: Wait) -> tuple[bool, object]:
        """Whether the operation may go on at once, and with what value; otherwise what it waits for is arranged."""
        if wait.kind == "drain" and not self._call.full:
            return True, None
        if wait.kind == "frame" and self._call.frames:
            return True, self._call.take_frame()
        if wait.kind == "readable":
            if self._call.frames:
                return True, False
            self._watched_fd = wait.fd
            self._loop.watch(wait.fd, self._readable, read=True)
        self._waiting_for = wait.kind
        if wait.kind == "step":
            self._loop.soon(lambda: self._resume(None))
        return False, None

    def _stop_watching(self) -> None:
        if self._watched_fd >= 0:
            self._loop.forget(self._watched_fd)
            self._watched_fd = -1

    def _readable(self, _events: int) -> None:
        self._stop_watching()
        self._resume(True)

    def _frame_arrived(self) -> None:
        if self._waiting_for == "frame":
            self._resume(self._call.take_frame())
        elif self._waiting_for == "readable":
            self._stop_watching()
            self._resume(False)

    def _drained(self) -> None:
        if self._waiting_for == "drain":
            self._resume(None)

    def _lost(self) -> None:
        if self._over:
            return
        self._over = True
        self._stop_watching()
        self._generator.close()
