"""Makes one HTTP request from inside a sandbox, through the proxy that its environment names.

Run as `python3 -I -B http_client.py`: a JSON request on standard input, a JSON answer on standard output, a
failure in words on standard error. Exit codes are curl's. With a `target` the answer's body is streamed to a file, with
a `source` a file is streamed as the request's body.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import sys
from urllib.parse import urljoin, urlsplit

# `-I` leaves the program's own folder out; it is part of the read-only supervisor.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import download
import route
import upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Answer = dict[str, Any]

MAX_REDIRECTS = 5
CHUNK_BYTES = 256 * 1024
# What is kept of an error page when the answer was to go to a file.
ERROR_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 32 * 1024
REDIRECTS = (301, 302, 303, 307, 308)
BODY_HEADERS = ("content-type", "content-length", "content-encoding", "transfer-encoding")
SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

Failure = route.Failure


def main() -> int:
    request = json.load(sys.stdin.buffer)
    signal.signal(signal.SIGALRM, on_deadline)
    signal.setitimer(signal.ITIMER_REAL, request["timeout_ms"] / 1000)
    answer: Answer = {"url": request["url"], "redirects": 0}
    failure = None
    try:
        exchange(request, answer)
    except Exception as error:  # every failure becomes part of the answer
        failure = route.explain(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    answer["failure"] = None if failure is None else {"kind": failure.kind, "message": str(failure)}
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))
    if failure is None:
        return 0
    print(f"{failure.kind}: {failure}", file=sys.stderr)
    return route.EXIT_CODES[failure.kind]


def on_deadline(_number: int, _frame: object) -> None:
    raise Failure("timeout", "the request did not end in time")


def exchange(request: Answer, answer: Answer) -> None:
    """Sends the request, follows redirects, and fills `answer` as far as it gets."""
    method, url, headers = request["method"], request["url"], [tuple(pair) for pair in request["headers"]]
    body = None if request["body"] is None else base64.b64decode(request["body"])
    max_redirects = request.get("max_redirects", MAX_REDIRECTS)
    while True:
        connection, path, proxied = route.connect(url)
        try:
            response = send(connection, method, path, headers, body, request.get("source"))
            answer.update(url=url, status=response.status, reason=response.reason[:256])
            answer["headers"] = bounded_headers(response)
            assert_allowed(response, proxied)
            location = response.getheader("location")
            if response.status not in REDIRECTS or location is None:
                receive(response, request, answer)
                return
        finally:
            connection.close()
        if answer["redirects"] == max_redirects:
            raise Failure("redirects", f"more than {max_redirects} redirects")
        answer["redirects"] += 1
        next_url = resolve_location(url, location)
        if not route.same_origin(url, next_url):
            headers = [pair for pair in headers if pair[0].lower() not in SECRET_HEADERS]
        if response.status == 303 or (response.status in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), None
            headers = [pair for pair in headers if pair[0].lower() not in BODY_HEADERS]
        url = next_url


def send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]],
    body: bytes | None,
    source: dict[str, Any] | None,
) -> http.client.HTTPResponse:
    given = {name.lower() for name, _ in headers}
    connection.putrequest(method, path, skip_host="host" in given, skip_accept_encoding="accept-encoding" in given)
    for name, value in headers:
        connection.putheader(name, value.encode("utf-8"))
    if "user-agent" not in given:
        connection.putheader("User-Agent", "paddock")
    if "content-length" not in given and (body is not None or method in ("POST", "PUT", "PATCH")):
        connection.putheader("Content-Length", str(len(body or b"")))
    connection.endheaders(body)
    if source is not None:
        upload.send(connection, source)
    return connection.getresponse()


def assert_allowed(response: http.client.HTTPResponse, proxied: bool) -> None:
    if proxied and response.status == 403 and response.reason.startswith(route.DENIED):
        raise Failure("denied", response.reason[:256])


def resolve_location(url: str, location: str) -> str:
    # http.client reads headers as Latin-1; most servers that do not percent-encode send UTF-8.
    try:
        text = location.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        text = location
    target = urljoin(url, "".join(c if "!" <= c <= "~" else route.percent(c) for c in text))
    if urlsplit(target).scheme not in ("http", "https"):
        raise Failure("redirects", f"redirected to {target[:200]}, which is not http or https")
    return target.partition("#")[0]


def bounded_headers(response: http.client.HTTPResponse) -> list[list[str]]:
    kept, room = [], MAX_HEADER_BYTES
    for name, value in response.getheaders():
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append([name.lower(), value])
    return kept


def receive(response: http.client.HTTPResponse, request: Answer, answer: Answer) -> None:
    failed = response.status >= 400
    target = request["target"]
    if target is not None and not failed:
        download.save(response, target, request["max_bytes"], answer)
        return
    limit = ERROR_BODY_BYTES if target is not None else request["max_bytes"]
    answer.update(read_body(response, limit))
    if failed:
        raise Failure("http", f"the server answered {response.status} {response.reason[:256]}".rstrip())


def read_body(response: http.client.HTTPResponse, limit: int) -> Answer:
    chunks, size = [], 0
    while size <= limit and (chunk := response.read(min(CHUNK_BYTES, limit + 1 - size))):
        chunks.append(chunk)
        size += len(chunk)
    truncated = size > limit
    if not truncated:
        route.assert_complete(response)
    body = b"".join(chunks)[:limit]
    return {"bytes": len(body), "truncated": truncated, **encode_body(body, truncated)}


def encode_body(body: bytes, truncated: bool) -> Answer:
    """Text as it is, anything else in base64; a character cut in two by `truncated` is left out."""
    for cut in range(4 if truncated else 1):
        try:
            text = body[: len(body) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        if CONTROL_CHARACTERS.search(text) is None:
            return {"body": text, "encoding": "utf8"}
        break
    return {"body": base64.b64encode(body).decode("ascii"), "encoding": "base64"}


if __name__ == "__main__":
    sys.exit(main())
