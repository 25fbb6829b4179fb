"""What `init` sets: it may come again, after a restore or a fork, and then replaces everything."""

from __future__ import annotations

import os

from channel.calls import OpError
from environment import CALL_VARIABLE, DEFAULT_ENVIRONMENT, proxy_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


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

    def folder(self, path: str) -> str:
        """A folder that is there, from a path that may be relative to the workspace."""
        folder = path if path.startswith("/") else f"{self.workspace}/{path}"
        if not os.path.isdir(folder):
            os.stat(folder)
            raise OpError("not_a_directory", f"{path!r} is not a directory")
        return folder

    @property
    def wants_warmth(self) -> bool:
        return any(language is not None and language["warm"] for language in (self.python, self.javascript))


class Configuration:
    """The settings in force."""

    __slots__ = ("_settings",)

    def __init__(self) -> None:
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            raise OpError("unavailable", "the sandbox had no init yet")
        return self._settings

    def replace(self, settings: Settings) -> None:
        self._settings = settings
