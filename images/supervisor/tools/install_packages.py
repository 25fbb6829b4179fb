"""Installs packages into the workspace and writes down what the installer itself reports.

Run as `python3 -I -B install_packages.py` with a JSON request on standard input. The installer's output and exit
code are passed through; after success `result` names the packages of this run.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import shutil
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Request = dict[str, Any]
    Dependencies = list[dict[str, str]]

UNAVAILABLE = 69


class Stop(Exception):
    """Ends the program with this exit code."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def main() -> int:
    request = json.load(sys.stdin.buffer)
    os.makedirs(request["cwd"], exist_ok=True)
    os.makedirs(request["scratch"], exist_ok=True)
    try:
        install = install_pip if request["manager"] == "pip" else install_npm
        dependencies = install(request)
    except Stop as stop:
        if str(stop):
            print(stop, file=sys.stderr)
        return stop.code
    finally:
        shutil.rmtree(request["scratch"], ignore_errors=True)
    with open(request["result"], "x", encoding="utf-8") as file:
        json.dump({"dependencies": dependencies}, file)
    return 0


def run(argv: list[str], cwd: str, env: dict[str, str]) -> None:
    code = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, env={**os.environ, **env}, check=False).returncode
    if code != 0:
        raise Stop(code if code > 0 else 128 - code)


def install_pip(request: Request) -> Dependencies:
    scratch, cwd = request["scratch"], request["cwd"]
    # /tmp counts as memory; large wheels are unpacked on the workspace's disk instead.
    env = {"TMPDIR": scratch}
    python = ensure_venv(os.path.join(request["workspace"], ".venv"), cwd, env)
    report = os.path.join(scratch, "report.json")
    options = ["--no-input", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off", "--retries", "2"]
    # `-I`: a json.py in the folder must not take the place of the standard library's.
    run([python, "-I", "-m", "pip", "install", "--report", report, *options, "--", *request["packages"]], cwd, env)
    with open(report, encoding="utf-8") as file:
        installed = json.load(file)["install"]
    return [{"name": one["metadata"]["name"], "version": one["metadata"]["version"]} for one in installed]


def ensure_venv(folder: str, cwd: str, env: dict[str, str]) -> str:
    """The interpreter of the workspace's virtual environment, made when missing, with pip in it."""
    python = os.path.join(folder, "bin", "python")
    if glob.glob(os.path.join(folder, "lib", "python3*", "site-packages", "pip", "__main__.py")):
        return python
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        modules = " and ".join(missing)
        raise Stop(
            UNAVAILABLE,
            f"{sys.executable} has no module {modules}: install python3-venv (apt-get install python3-venv)",
        )
    # In two steps, because `venv` hides why its own call of ensurepip failed.
    if not os.path.exists(python):
        run([sys.executable, "-I", "-m", "venv", "--without-pip", folder], cwd, env)
    run([python, "-I", "-m", "ensurepip", "--upgrade", "--default-pip"], cwd, {**env, "PIP_NO_INDEX": "1"})
    return python


def install_npm(request: Request) -> Dependencies:
    cwd, npm = request["cwd"], shutil.which("npm")
    if npm is None:
        raise Stop(UNAVAILABLE, "npm is not on the PATH of this node type")
    manifest = os.path.join(cwd, "package.json")
    if not os.path.exists(manifest):
        with open(manifest, "x", encoding="utf-8") as file:
            json.dump({"name": "workspace", "version": "1.0.0", "private": True}, file, indent=2)
            file.write("\n")
    before = read_npm_record(cwd)
    options = ["--no-audit", "--no-fund", "--no-progress", "--no-update-notifier", "--loglevel=error"]
    # As with pip: not in /tmp, which counts as memory.
    env = {"npm_config_cache": os.path.join(request["scratch"], "npm")}
    run([npm, "install", *options, "--", *request["packages"]], cwd, env)
    after = read_npm_record(cwd)
    return [
        {"name": name, "version": version}
        for path, (name, version) in after.items()
        if before.get(path) != (name, version)
    ]


def read_npm_record(cwd: str) -> dict[str, tuple[str, str]]:
    """npm's own record of what is in node_modules: path to name and version."""
    try:
        with open(os.path.join(cwd, "node_modules", ".package-lock.json"), encoding="utf-8") as file:
            packages = json.load(file)["packages"]
    except (OSError, ValueError, KeyError):
        return {}
    return {
        path: (entry.get("name") or path.rpartition("node_modules/")[2], entry["version"])
        for path, entry in packages.items()
        if "version" in entry
    }


if __name__ == "__main__":
    sys.exit(main())
