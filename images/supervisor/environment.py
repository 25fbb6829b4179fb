"""The environment of the processes inside: what each of them gets, and how its call's way out is named there."""

from __future__ import annotations

DEFAULT_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
CALL_VARIABLE = "PADDOCK_CALL_ID"
_PROXY_NAMES = (
    "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "PIP_PROXY",
    "npm_config_proxy", "npm_config_https_proxy",
)  # fmt: skip
_NO_PROXY = "localhost,127.0.0.1,::1"


def proxy_environment(port: int) -> dict[str, str]:
    environment = dict.fromkeys(_PROXY_NAMES, f"http://127.0.0.1:{port}")
    environment["NO_PROXY"] = environment["no_proxy"] = _NO_PROXY
    environment["NODE_USE_ENV_PROXY"] = "1"
    return environment
