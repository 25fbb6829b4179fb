"""System errors as the protocol's failure codes."""

from __future__ import annotations

import errno
import os

from .contract import OpError

CODES = {
    errno.ENOENT: "not_found",
    errno.EEXIST: "exists",
    errno.ENOTDIR: "not_a_directory",
    errno.EISDIR: "is_a_directory",
    errno.ENXIO: "not_a_file",
    errno.ENODEV: "not_a_file",
    errno.ENOTEMPTY: "not_empty",
    errno.ELOOP: "refused",
    errno.EXDEV: "refused",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EFBIG: "no_space",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.EINVAL: "invalid",
    errno.ENAMETOOLONG: "invalid",
    errno.EAGAIN: "busy",
    errno.EBUSY: "busy",
    errno.ETXTBSY: "busy",
    errno.EMFILE: "unavailable",
    errno.ENFILE: "unavailable",
    errno.ENOMEM: "unavailable",
    errno.ENOSYS: "unavailable",
}

REASONS = {
    errno.ELOOP: "a link that may not be followed",
    errno.EXDEV: "leaves the workspace or the file system",
    errno.ENXIO: "not a regular file",
}

# Control frames are small; a path of 64 long names with every byte escaped is not.
SHOWN_CHARACTERS = 1024


def shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def fail(code: str, path: str, reason: str) -> OpError:
    return OpError(code, f"{shorten(path)}: {reason}")


def describe(error: OSError, path: str) -> OpError:
    number = error.errno or 0
    reason = REASONS.get(number) or os.strerror(number)
    return fail(CODES.get(number, "io_error"), path, reason)
