"""Why something was not made, in words that the owner understands."""

import errno

_HARMLESS_STEPS = ("record", "workspace", "volume", "socket", "pipes")
"""Steps whose failure says nothing about a protection."""


class CreateError(Exception):
    """A create that failed; `code` is one of the owner's error codes."""

    def __init__(self, code: str, step: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.step = step
        self.left: str | None = None
        """Why what had been made could not all be removed. It then waits for another `remove` or `release`."""


def classify(number: int | None, step: str, message: str) -> CreateError:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return CreateError("no_space", step, message)
    if number in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM):
        return CreateError("capacity", step, message)
    return CreateError("create_failed" if step in _HARMLESS_STEPS else "isolation_failed", step, message)
