"""One output stream of a process: what is sent as it comes, what a ring holds back, what goes to the spill file."""

from __future__ import annotations

import os
from mmap import mmap

from loop import close_quietly
from processes.spill import Spill, open_spill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from channel.calls import Call, Fields
    from loop import Loop, Timer

RING_BYTES = 512 * 1024
SPILL_FROM_BYTES = 1 << 20
PIPE_BYTES = 1 << 20
GROW_PIPE_FROM_BYTES = 256 * 1024
READS_PER_TURN = 8
LAST_DRAIN_BYTES = PIPE_BYTES + 64 * 1024
"""More than this cannot have been in the pipe when the process ended; a holder that goes on writing is not its
output."""

SMALL_READ_BYTES = 4096
SMALL_READS_IN_A_ROW = 4
SMALL_READ_PAUSE_SECONDS = 0.002

_buffer = memoryview(mmap(-1, PIPE_BYTES))
"""Every stream reads into this; anonymous memory costs nothing until a read was that large."""


class OutputStream:
    __slots__ = (
        "_loop", "_name", "_kind", "_fd", "_watched", "_pause", "_small_reads", "_pipe_grown", "_last_budget",
        "_lingers", "_call", "_live_left", "_ring", "_ring_lost", "_gaps", "_head", "_spill", "_spill_plan", "total",
    )  # fmt: skip

    def __init__(self, loop: Loop, name: str, kind: int, live_bytes: int | None) -> None:
        self._loop = loop
        self._name = name
        self._kind = kind
        self._fd = -1
        self._watched = False
        self._pause: Timer | None = None
        self._small_reads = 0
        self._pipe_grown = False
        self._last_budget: int | None = None
        self._lingers = False
        self._call: Call | None = None
        self._live_left = live_bytes
        self._ring = bytearray()
        self._ring_lost = 0
        self._gaps: list[tuple[int, int]] = []
        self._head: bytearray | None = None
        self._spill: Spill | None = None
        self._spill_plan: tuple[str, str, int] | None = None
        self.total = 0

    # Set-up

    def spill_to(self, workspace: str, name: str, limit: int, *, at_once: bool) -> None:
        """A stream longer than SPILL_FROM_BYTES (or every stream) is also written to a file, from its first byte on."""
        if limit <= 0:
            return
        if at_once:
            self._spill = open_spill(workspace, name, limit)
        else:
            self._head = bytearray()
            self._spill_plan = (workspace, name, limit)

    def read_from(self, fd: int) -> None:
        """Takes `fd` over."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._rearm()

    def attach(self, call: Call) -> None:
        """From now on `call` gets the stream, beginning with what the ring holds."""
        self._call = call
        self.flush_ring()
        self._rearm()

    def detach(self) -> None:
        self._call = None
        self._rearm()

    # Reading

    @property
    def open(self) -> bool:
        return self._fd >= 0

    def _blocked(self) -> bool:
        """The host is slow and everything it asked for must go through it: the process waits."""
        return self._call is not None and self._live_left != 0 and self._call.full

    def _rearm(self) -> None:
        wanted = self._fd >= 0 and self._pause is None and self._last_budget is None and not self._blocked()
        if wanted and not self._watched:
            self._loop.watch(self._fd, self._readable, read=True)
        elif self._watched and not wanted:
            self._loop.forget(self._fd)
        self._watched = wanted

    def call_drained(self) -> None:
        self._rearm()

    def _readable(self, _events: int) -> None:
        for _ in range(READS_PER_TURN):
            count = self._read()
            if count < len(_buffer) // 16 or self._blocked():
                break
        if 0 < count < SMALL_READ_BYTES:
            self._small_reads += 1
        else:
            self._small_reads = 0
        if self._small_reads >= SMALL_READS_IN_A_ROW:
            self._pause = self._loop.after(SMALL_READ_PAUSE_SECONDS, self._end_pause)
        self._rearm()

    def _end_pause(self) -> None:
        # a stream of tiny writes costs one frame per pause, not one per write
        self._pause = None
        if self._fd >= 0 and not self._blocked():
            self._small_reads = SMALL_READS_IN_A_ROW - 1 if self._read() > 0 else 0
            if self._small_reads and self._fd >= 0:
                self._pause = self._loop.after(SMALL_READ_PAUSE_SECONDS, self._end_pause)
        self._rearm()

    def _read(self) -> int:
        """The number of bytes that were there: 0 when nothing, or at the end (then the stream is closed)."""
        try:
            count = os.readv(self._fd, [_buffer])
        except BlockingIOError:
            return 0
        except OSError:  # a terminal whose other end is closed
            count = 0
        if count == 0:
            self.close()
            if self._lingers:
                self.settle()
            return 0
        self._take(bytes(_buffer[:count]))
        return count

    def _grow_pipe(self) -> None:
        self._pipe_grown = True
        from fcntl import fcntl

        try:
            fcntl(self._fd, 1031, PIPE_BYTES)  # F_SETPIPE_SZ; a terminal refuses, and so does a used-up quota
        except OSError:
            pass

    def drain(self, *, linger: bool = False) -> bool:
        """After the process ended: reads what is there. False while the host must first take something.

        With `linger` the stream goes on by itself for whoever still writes to it, until that ends too.
        """
        if self._last_budget is None:
            self._last_budget = LAST_DRAIN_BYTES
        while self._fd >= 0 and self._last_budget > 0:
            if self._blocked():
                self._rearm()
                return False
            count = self._read()
            if count == 0:
                break
            self._last_budget -= count
        self._lingers = linger
        if not linger:
            self.close()
        elif self._fd < 0:
            self.settle()
        self._last_budget = None
        self._rearm()
        return True

    def close(self) -> None:
        if self._fd < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.forget(self._fd)
        close_quietly(self._fd)
        self._fd = -1
        self._watched = False

    # Keeping

    def _take(self, chunk: bytes) -> None:
        self.total += len(chunk)
        if not self._pipe_grown and self.total > GROW_PIPE_FROM_BYTES:
            self._grow_pipe()
        self._keep_in_file(chunk)
        if self._call is not None and self._live_left != 0:
            live = chunk if self._live_left is None else chunk[: self._live_left]
            if self._live_left is not None:
                self._live_left -= len(live)
            self._call.send_bytes(self._kind, live)
            chunk = chunk[len(live) :]
        if chunk:
            self._keep_in_ring(chunk)

    def _keep_in_ring(self, chunk: bytes) -> None:
        self._ring += chunk
        if len(self._ring) > 2 * RING_BYTES:
            self._trim_ring()

    def _trim_ring(self) -> None:
        excess = len(self._ring) - RING_BYTES
        if excess > 0:
            del self._ring[:excess]
            self._ring_lost += excess

    def _keep_in_file(self, chunk: bytes) -> None:
        if self._head is not None and self._spill_plan is not None:
            self._head += chunk
            if len(self._head) <= SPILL_FROM_BYTES:
                return
            head, self._head = self._head, None
            self._spill = open_spill(*self._spill_plan)
            if self._spill is not None:
                self._spill.write(head)
        elif self._spill is not None:
            self._spill.write(chunk)

    # Ending

    def flush_ring(self) -> None:
        """Sends the ring to the call, after a `gap` for what it lost."""
        if self._call is None or self._call.lost:
            return
        self._trim_ring()
        if self._ring_lost > 0:
            end = self.total - len(self._ring)
            self._gaps.append((end - self._ring_lost, end))
            self._call.send_event({"op": "gap", "stream": self._name, "bytes": self._ring_lost})
            self._ring_lost = 0
        self._call.send_bytes(self._kind, self._ring)
        self._ring = bytearray()

    @property
    def held_bytes(self) -> int:
        return len(self._ring)

    def forget_ring(self) -> None:
        self._ring_lost += len(self._ring)
        self._ring = bytearray()

    def settle(self) -> None:
        """Closes files; the ring stays for whoever attaches later."""
        self.close()
        self._head = None
        if self._spill is not None:
            self._spill.close()

    def report(self) -> Fields:
        """`dropped` supposes that the ring, if it still holds something, will be sent."""
        self._trim_ring()
        kept = self._spill.bytes if self._spill is not None else 0
        end = self.total - len(self._ring)
        gaps = [*self._gaps, (end - self._ring_lost, end)]
        dropped = sum(max(0, last - max(first, kept)) for first, last in gaps)
        return {"bytes": self.total, "dropped": dropped, "spill": self._spill.report() if self._spill else None}


def empty_report() -> Fields:
    return {"bytes": 0, "dropped": 0, "spill": None}
