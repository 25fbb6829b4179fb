"""How a request leaves the sandbox: directly to its own loopback, else through the proxy; and what can go wrong on the
way."""

from __future__ import annotations

import errno
import http.client
import os
import socket
from urllib.parse import quote, urlsplit

# The egress proxy's status line when policy refuses a host.
DENIED = "Egress denied"
MAX_CONNECT_REPLY_BYTES = 16 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}

EXIT_CODES = {
    "url": 3,
    "resolve": 6,
    "refused": 7,
    "partial": 18,
    "http": 22,
    "denied": 22,
    "write": 23,
    "disk": 23,
    "read": 26,
    "timeout": 28,
    "tls": 35,
    "redirects": 47,
    "proxy": 56,
    "reset": 56,
    "protocol": 56,
    "certificate": 60,
    "too_large": 63,
    "checksum": 65,
}


class Failure(Exception):
    """A failure with its kind, one of EXIT_CODES."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def connect(url: str) -> tuple[http.client.HTTPConnection, str, bool]:
    """A connection for the URL, the request target to send on it, and whether a proxy will answer."""
    parts = urlsplit(url)
    host, scheme = parts.hostname, parts.scheme
    if host is None or scheme not in DEFAULT_PORTS:
        raise Failure("url", f"not an http or https URL with a host: {url[:200]}")
    port = parts.port or DEFAULT_PORTS[scheme]
    path = escape(parts.path or "/") + (f"?{escape(parts.query)}" if parts.query else "")
    proxy = proxy_for(scheme, host)
    if proxy is None:
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        return kind(host, port), path, False
    if scheme == "http":
        # As the Host header has it: a proxy compares the two.
        authority = join_authority(host, port) if port != DEFAULT_PORTS[scheme] else join_authority(host)
        return ProxiedConnection(host, port, proxy), f"http://{authority}{path}", True
    connection = http.client.HTTPSConnection(host, port)
    connection.sock = open_tunnel(proxy, host, port)
    return connection, path, False


class ProxiedConnection(http.client.HTTPConnection):
    """Dials the proxy while the Host header names the origin."""

    def __init__(self, host: str, port: int, proxy: tuple[str, int]) -> None:
        super().__init__(host, port)
        self.proxy = proxy

    def connect(self) -> None:
        self.sock = socket.create_connection(self.proxy)


def proxy_for(scheme: str, host: str) -> tuple[str, int] | None:
    name = f"{scheme}_proxy"
    address = os.environ.get(name) or os.environ.get(name.upper())
    if not address or bypasses_proxy(host):
        return None
    parts = urlsplit(address if "//" in address else f"//{address}")
    return (parts.hostname or "127.0.0.1", parts.port or 80)


def bypasses_proxy(host: str) -> bool:
    entries = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").lower().split(",")
    names = [entry.strip().lstrip(".") for entry in entries if entry.strip()]
    return "*" in names or any(host == name or host.endswith(f".{name}") for name in names)


def open_tunnel(proxy: tuple[str, int], host: str, port: int) -> socket.socket:
    import ssl

    channel = socket.create_connection(proxy)
    try:
        authority = join_authority(host, port)
        channel.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("ascii"))
        read_connect_reply(channel)
        return ssl.create_default_context().wrap_socket(channel, server_hostname=host)
    except BaseException:
        channel.close()
        raise


def read_connect_reply(channel: socket.socket) -> None:
    """Reads the reply byte by byte, so that nothing of the tunnel is taken with it."""
    reply = bytearray()
    while not reply.endswith(b"\r\n\r\n"):
        byte = channel.recv(1)
        if not byte or len(reply) > MAX_CONNECT_REPLY_BYTES:
            raise Failure("proxy", "the proxy closed the connection before it answered")
        reply += byte
    version, _, status_line = reply.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    status, _, reason = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or status == "200":
        return
    if status == "403" and reason.startswith(DENIED):
        raise Failure("denied", reason[:256])
    raise Failure("proxy", f"the proxy answered {status_line[:256]}")


def join_authority(host: str, port: int | None = None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def escape(text: str) -> str:
    return quote(text, safe="/?:@!$&'()*+,;=%-._~[]|^")


def percent(character: str) -> str:
    return quote(character, safe="")


def same_origin(one: str, other: str) -> bool:
    def origin(url: str) -> tuple[str, str | None, int | None]:
        parts = urlsplit(url)
        return (parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme))

    return origin(one) == origin(other)


def assert_complete(response: http.client.HTTPResponse) -> None:
    """http.client reads less than Content-Length without a word when the connection ends early."""
    if response.length:
        raise Failure("partial", f"the connection ended {response.length} bytes before the end of the body")


def explain(error: Exception) -> Failure:
    """Any exception of the exchange as a failure with a kind."""
    if isinstance(error, Failure):
        return error
    message = str(error) or type(error).__name__
    return Failure(kind_of(error), message[:500])


def kind_of(error: Exception) -> str:
    name = type(error).__name__
    if name == "SSLCertVerificationError":
        return "certificate"
    if name.startswith("SSL"):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "resolve"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return "reset"
    if isinstance(error, http.client.IncompleteRead):
        return "partial"
    if isinstance(error, http.client.InvalidURL):
        return "url"
    if isinstance(error, http.client.HTTPException):
        return "protocol"
    if isinstance(error, OSError):
        return "disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "write" if error.filename else "refused"
    return "url" if isinstance(error, (ValueError, UnicodeError)) else "protocol"
