"""Streams a response body to a file: under a temporary name first, in its place only when it is whole."""

from __future__ import annotations

import hashlib
import os

import route

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    from io import FileIO
    from typing import Any

CHUNK_BYTES = 256 * 1024
MAX_NAME_TRIES = 1000


def save(response: http.client.HTTPResponse, target: dict[str, Any], max_bytes: int, answer: dict[str, Any]) -> None:
    length = response.length
    if length is not None and length > max_bytes:
        raise route.Failure("too_large", f"the file has {length} bytes, the limit is {max_bytes}")
    temporary = target["temporary"]
    os.makedirs(os.path.dirname(temporary) or ".", exist_ok=True)
    remove(temporary)
    try:
        size, digest = stream(response, temporary, max_bytes)
        wanted = target["sha256"]
        if wanted is not None and wanted != digest:
            raise route.Failure("checksum", f"sha256 is {digest}, expected {wanted}")
        path = place(temporary, target["path"], target["derived"], size, digest)
    finally:
        remove(temporary)
    answer.update(path=path, bytes=size, sha256=digest, truncated=False)


def stream(response: http.client.HTTPResponse, temporary: str, max_bytes: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(temporary, flags, 0o644), "wb", buffering=0) as file:
        while chunk := response.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise route.Failure("too_large", f"the file is larger than {max_bytes} bytes")
            digest.update(chunk)
            write_all(file, chunk)
    route.assert_complete(response)
    return size, digest.hexdigest()


def write_all(file: FileIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def place(temporary: str, path: str, derived: bool, size: int, digest: str) -> str:
    """A path that the caller chose is replaced; a name derived from the URL never takes the place of other content."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    if not derived:
        os.replace(temporary, path)
        return path
    stem, extension = os.path.splitext(path)
    for number in range(MAX_NAME_TRIES):
        candidate = path if number == 0 else f"{stem}-{number}{extension}"
        try:
            os.link(temporary, candidate)
            return candidate
        except FileExistsError:
            if holds(candidate, size, digest):
                return candidate
    raise route.Failure("write", f"{MAX_NAME_TRIES} files are named like {path}; give a path")


def holds(path: str, size: int, digest: str) -> bool:
    if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) != size:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
