"""What `init` sets: it may come again, after a restore or a fork, and then replaces everything."""

from __future__ import annotations

from network.relay import proxy_environment
from processes.ledger import CALL_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


class Settings:
    __slots__ = ("workspace", "spill_bytes", "python", "javascript", "_environment")

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.workspace: str = request["workspace"]
        self.spill_bytes: int = request["spill_bytes"]
        self.python: Mapping[str, Any] | None = request["python"]
        self.javascript: Mapping[str, Any] | None = request["javascript"]
        self._environment: dict[str, str] = {**DEFAULT_ENVIRONMENT, "HOSTNAME": request["hostname"], **request["env"]}

    def environment(self, call_id: str | None, relay_port: int, extra: Mapping[str, str]) -> dict[str, str]:
        """Of one process; `extra` is the call's own and wins. A process started ahead of need has no call id yet."""
        marker = {} if call_id is None else {CALL_VARIABLE: call_id}
        proxies = proxy_environment(relay_port) if relay_port else {}
        return {**self._environment, **proxies, **marker, **extra}

    def path(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.workspace}/{path}"
