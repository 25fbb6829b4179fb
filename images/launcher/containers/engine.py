"""The few words the launcher speaks with a container engine, over its unix socket. They block: call them in a child."""

import json
import time

_REQUEST_SECONDS = 10.0
_BUSY_SECONDS = 15.0
_RETRY_SECONDS = 0.1
_MAX_RESPONSE_BYTES = 1 << 20

Verdict = dict[str, str]
"""`{"state": "gone" | "running" | "stopped"}`, or `{"error": text}` when the engine does not answer or refuses."""


SANDBOX_LABEL = "paddock.sandbox"


def remove_container(path: str, name: str, sandbox: str, known_id: str | None, wait_seconds: float) -> Verdict:
    """Removes container and anonymous volumes: the one of this id, or the one of this name if its label says that it is
    the sandbox's. For `wait_seconds` a missing container is one whose creation may still be under way."""
    began = time.monotonic()
    resumed = False
    while True:
        try:
            status, body = (200, b"") if known_id is not None else _request(path, "GET", f"/containers/{name}/json")
            if status == 200:
                id = known_id or _read_id(body, sandbox)
                if id is None:
                    return {"state": "gone"}
                if not resumed:
                    # gVisor refuses signals to a paused sandbox, and its shim then stays; a container that is not
                    # paused answers with an error.
                    _request(path, "POST", f"/containers/{id}/unpause")
                    resumed = True
                status, body = _request(path, "DELETE", f"/containers/{id}?force=1&v=1")
        except OSError as error:
            return {"error": f"the engine at {path} does not answer: {error}"}
        elapsed = time.monotonic() - began
        if status in (200, 204) or (status == 404 and elapsed >= wait_seconds):
            return {"state": "gone"}
        if status != 404 and elapsed >= _BUSY_SECONDS:
            return {"error": f"the engine at {path} does not remove {name}: {status} {_message(body)}"}
        time.sleep(_RETRY_SECONDS)


def _read_id(body: bytes, sandbox: str) -> str | None:
    """None for a container that somebody else gave our name."""
    facts = json.loads(body)
    labels = facts["Config"]["Labels"] or {}
    return str(facts["Id"]) if labels.get(SANDBOX_LABEL) == sandbox else None


def look_at_container(path: str, name: str) -> Verdict:
    try:
        status, body = _request(path, "GET", f"/containers/{name}/json")
    except OSError as error:
        return {"error": f"the engine at {path} does not answer: {error}"}
    if status == 404:
        return {"state": "gone"}
    if status != 200:
        return {"error": f"the engine at {path} says {status} {_message(body)}"}
    return {"state": "running" if json.loads(body)["State"]["Running"] else "stopped"}


def _request(path: str, method: str, target: str) -> tuple[int, bytes]:
    """HTTP/1.0: the answer ends with the connection and has no chunks."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REQUEST_SECONDS)
        connection.connect(path)
        connection.sendall(f"{method} {target} HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
            if len(answer) > _MAX_RESPONSE_BYTES:
                raise OSError("its answer is too long")
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 3 or not words[1].isdigit():
        raise OSError("its answer is not HTTP")
    return int(words[1]), body


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
