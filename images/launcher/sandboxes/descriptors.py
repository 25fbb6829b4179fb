"""Descriptors of one sandbox."""

import os

from context import Context
from launch import ARGUMENTS_FD, FIRST_DATA_FD, SECCOMP_FD, STATUS_FD, Launch


class Pipes:
    """The descriptors between launcher and child. The child's ends are closed after the fork."""

    def __init__(self, context: Context, plan: Launch) -> None:
        self._ours: list[int] = []
        self._theirs: list[int] = []
        self.inside: dict[int, int] = {}
        try:
            self.status, self.inside[STATUS_FD] = self._pipe()
            self.errors, self.errors_write = self._pipe()
            self.stderr, self.inside[2] = self._pipe()
            self.inside[0] = self._filled_pipe(plan["stdin"].encode())
            self.inside[1] = self._keep(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
            arguments = "".join(f"{argument}\0" for argument in plan["arguments"]).encode()
            for fd, data in enumerate(plan["data"], FIRST_DATA_FD):
                self.inside[fd] = self._memory_file(data.encode())
            self.inside[ARGUMENTS_FD] = self._memory_file(arguments)
            self.inside[SECCOMP_FD] = self._memory_file(context.seccomp)
        except OSError:
            self.close()
            raise

    def close_child_ends(self) -> None:
        while self._theirs:
            os.close(self._theirs.pop())

    def close(self) -> None:
        self.close_child_ends()
        while self._ours:
            os.close(self._ours.pop())

    def _pipe(self) -> tuple[int, int]:
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._ours.append(read)
        return read, self._keep(write)

    def _filled_pipe(self, data: bytes) -> int:
        """The key can be read once and is gone from the pipe then."""
        read, write = os.pipe()
        os.write(write, data)
        os.close(write)
        return self._keep(read)

    def _keep(self, fd: int) -> int:
        self._theirs.append(fd)
        return fd

    def _memory_file(self, data: bytes) -> int:
        fd = self._keep(os.memfd_create("paddock", os.MFD_CLOEXEC))
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd
