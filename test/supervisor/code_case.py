"""What the tests of runs of code share: runs and contexts, and interpreters and guests that are held where a test wants
them."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any

from host import GUEST_UID, PYTHON, REPOSITORY, SUPERVISOR, Host, HostCall, wait_until

NODE = REPOSITORY / "node_modules" / "node" / "bin" / "node"
HAS_NODE = NODE.exists() and (SUPERVISOR / "runners" / "javascript" / "runner.mjs").exists()
SLOW_START = 'echo $$ >> /workspace/starts; until [ -e /workspace/go ]; do sleep 0.02; done; exec "$@"'
NODE_SETTINGS: dict[str, Any] = {"javascript": {"argv": ["/opt/node"], "warm": True}}

SLOW_PYTHON = ["/bin/sh", "-c", SLOW_START, "sh", PYTHON]
"""An interpreter that writes its pid to `starts`, and starts when there is `go`."""
SLOW_NODE = ["/bin/sh", "-c", SLOW_START, "sh", "/opt/node"]

HOLD = """
import ctypes, os, signal, time

def hold():
    # Until /workspace/held is gone. Who waits for a vfork is not asleep: the kernel keeps it from running.
    if not os.path.exists("/workspace/held"):
        return
    clone = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    child = ctypes.CDLL(None).syscall(clone, 0x4000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(os.open("/workspace/holds", os.O_CREAT))
        while os.path.exists("/workspace/held"):
            time.sleep(0.01)
        os._exit(0)
    os.waitpid(child, 0)
"""
"""A module of the guest's."""


@functools.cache
def copy_node() -> Path:
    """Node where the sandbox's uid reaches it: a clone may lie in a folder of root's."""
    folder = Path(tempfile.mkdtemp(prefix="paddock-node-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o711)
    return Path(shutil.copy2(NODE, folder))


class CodeCase(unittest.TestCase):
    language = "python"
    settings: dict[str, Any] = {"python": {"argv": [PYTHON], "preload": ["fractions"], "warm": True}}

    def setUp(self) -> None:
        self.open_sandbox()

    def open_sandbox(self, supervisor: Path = SUPERVISOR) -> None:
        bindings = ("--ro-bind", str(copy_node()), "/opt/node") if self.language == "javascript" else ()
        self.host = Host(settings=self.settings, bindings=bindings, supervisor=supervisor)
        self.addCleanup(self.host.close)
        self.host.__enter__()

    def begin(self, code: str, **changes: Any) -> HostCall:
        fields = {
            "language": self.language, "context": None, "cwd": ".", "env": {}, "stdin": False, "rlimits": {},
            "deadline_ms": None, "live_bytes": None, "file": "main", **changes,
        }  # fmt: skip
        call = self.host.call("run", **fields)
        call.send_data(code.encode())
        call.end()
        return call

    def run_code(self, code: str, **changes: Any):
        return self.begin(code, **changes).finish()

    def contexts(self) -> list[dict[str, Any]]:
        return self.host.ask("contexts")["contexts"]

    def let_requests_arrive(self) -> None:
        """What was sent before is served before the second answer: in a turn the supervisor reads what had arrived when
        its last one ended."""
        for _ in range(2):
            self.assertEqual(self.host.ask("ping"), {"op": "done"})

    # Files that say how far something may go, or how far it came

    def path(self, name: str) -> Path:
        return self.host.workspace / name

    def write(self, name: str, text: str = "") -> None:
        self.path(name).write_text(text)
        if os.getuid() == 0:
            os.chown(self.path(name), GUEST_UID, GUEST_UID)

    def wait_for(self, name: str) -> None:
        wait_until(self.path(name).exists)


def copy_supervisor(folder: Path, changes: dict[str, dict[str, str]]) -> Path:
    """`changes`: file -> line -> the line instead. Lets a test take longer than a sandbox would wait."""
    copy = folder / "supervisor"
    shutil.copytree(SUPERVISOR, copy)
    for name, lines in changes.items():
        text = (copy / name).read_text()
        for line, instead in lines.items():
            assert f"\n{line}\n" in text, (name, line)
            text = text.replace(f"\n{line}\n", f"\n{instead}\n")
        (copy / name).write_text(text)
    return copy
