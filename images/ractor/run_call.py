"""Runs one staged call on a foreign server and writes down what happened.

Run as `python3 -I -B run_call.py BASE CALL ATTEMPT`. BASE/calls/CALL.json says what to do,
BASE/results/CALL-ATTEMPT.json is what came of it. A call runs at most once per attempt, however often it is asked for:
the one who asks is a language model or a client that lost its connection. The first line on standard output is
`paddock: call CALL-ATTEMPT exit N`; then comes the head of the output.
"""

from __future__ import annotations

import base64
import ctypes
import datetime
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import Any

SHOWN_BYTES = 4000
MAX_COLLECTED_BYTES = 4 * 1024 * 1024
MAX_CHANGES = 1000
MAX_HASH_BYTES = 64 * 1024 * 1024
KILL_AFTER_S = 0.25
WAIT_FOR_OTHER_S = 600
TREES = ("node_modules", ".venv", "venv", "__pycache__", ".git")
PROGRAMS = "/opt/paddock/supervisor/tools/"
PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    base, call, attempt = sys.argv[1:]
    name = f"{call}-{attempt}"
    result_path = os.path.join(base, "results", f"{name}.json")
    os.makedirs(os.path.dirname(result_path), exist_ok=True)
    try:
        os.close(os.open(f"{result_path}.lock", os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return show(name, wait_for(result_path))
    with open(os.path.join(base, "calls", f"{call}.json"), encoding="utf-8") as file:
        spec = json.load(file)
    result = run(base, spec)
    temporary = f"{result_path}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump({"call": name, **result}, file)
    os.replace(temporary, result_path)
    return show(name, result)


def wait_for(path: str) -> dict[str, Any] | None:
    """Another run of the same attempt has the lock; its result is this one's."""
    for _ in range(WAIT_FOR_OTHER_S * 10):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                result: dict[str, Any] = json.load(file)
                return result
        time.sleep(0.1)
    return None


def show(name: str, result: dict[str, Any] | None) -> int:
    if result is None:
        print(f"paddock: call {name} has not ended")
        return 75
    code = result["exit_code"]
    print(f"paddock: call {name} exit {'unknown' if code is None else code}")
    for stream, target in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer)):
        sys.stdout.flush()
        target.write(base64.b64decode(result[stream]["head"])[: SHOWN_BYTES // 2])
        target.flush()
    return 1 if code is None else code


def run(base: str, spec: dict[str, Any]) -> dict[str, Any]:
    workspace = spec["workspace"]
    os.makedirs(workspace, exist_ok=True)
    before = snapshot(workspace)
    start, begun = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    try:
        facts = OPERATIONS[spec["op"]](base, spec)
    except OSError as error:
        facts = done(
            1,
            stderr=f"{error.strerror or error}: {error.filename or ''}\n",
            missing=isinstance(error, FileNotFoundError),
        )
    duration_ms = (time.monotonic() - begun) * 1000
    changes, more = compare(workspace, before, snapshot(workspace))
    return {"start_time": start.isoformat(), "duration_ms": duration_ms, **facts, "changes": changes, "more": more}


def done(code: int | None, **facts: Any) -> dict[str, Any]:
    stderr = facts.pop("stderr", "").encode("utf-8", "replace")
    return {
        "ended": "exit",
        "exit_code": code,
        "signal": None,
        "stdout": Kept(1).report(),
        "stderr": Kept(65536).of(stderr),
        **facts,
    }


# Operations


def run_process(base: str, spec: dict[str, Any]) -> dict[str, Any]:
    argv = [part.replace(PROGRAMS, f"{base}/tools/", 1) if part.startswith(PROGRAMS) else part for part in spec["argv"]]
    facts = supervise(spec, argv, environment(base, spec))
    if spec.get("collect"):
        facts["collected"] = collect(spec["collect"])
    return facts


def run_code(base: str, spec: dict[str, Any]) -> dict[str, Any]:
    folder = os.path.join(spec["workspace"], ".paddock", spec["call"])
    os.makedirs(folder, exist_ok=True)
    source, value = os.path.join(folder, os.path.basename(spec["file"])), os.path.join(folder, ".value")
    with open(source, "w", encoding="utf-8") as file:
        file.write(spec["code"])
    try:
        return run_source(base, spec, source, value)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rmdir(os.path.dirname(folder))
        except OSError:
            pass  # it holds more than this call


def run_source(base: str, spec: dict[str, Any], source: str, value: str) -> dict[str, Any]:
    env = environment(base, spec)
    if spec["language"] == "javascript":
        return supervise(spec, ["node", source], env)
    own = os.path.join(base, "env", "venv", "bin", "python")
    python = own if os.access(own, os.X_OK) else sys.executable
    facts = supervise(spec, [python, "-B", os.path.join(base, "run_python.py"), source, spec["file"], value], env)
    text = collect(value)
    return facts if text is None else {**facts, "value": text}


def write_file(_base: str, spec: dict[str, Any]) -> dict[str, Any]:
    path, content = inside(spec), base64.b64decode(spec["content"])
    os.makedirs(os.path.dirname(path) or "/", exist_ok=True)
    created = not os.path.lexists(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    flags |= os.O_APPEND if spec["append"] else 0 if spec["exclusive"] else os.O_TRUNC
    descriptor = os.open(path, flags | (os.O_EXCL if spec["exclusive"] else 0), spec["mode"])
    with open(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), spec["mode"])
    return done(0, written={"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "created": created})


def remove_file(_base: str, spec: dict[str, Any]) -> dict[str, Any]:
    path = inside(spec)
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return done(0, removed=1)
    if not spec["recursive"]:
        return done(1, stderr="it is a folder: delete it with recursive\n")
    removed = 1
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files + folders:
            entry = os.path.join(folder, name)
            (os.rmdir if name in folders and not os.path.islink(entry) else os.unlink)(entry)
            removed += 1
    os.rmdir(path)
    return done(0, removed=removed)


def inside(spec: dict[str, Any]) -> str:
    path: str = os.path.join(spec["workspace"], spec["path"])
    return path


OPERATIONS = {"process": run_process, "code": run_code, "write": write_file, "remove": remove_file}


# Processes


def environment(base: str, spec: dict[str, Any]) -> dict[str, str]:
    """The server's own environment, the template's, the task's and the call's. Credentials of the server do not reach
    guest code."""
    env = {name: value for name, value in os.environ.items() if "TOKEN" not in name and "PRINCIPAL" not in name}
    loaded = subprocess.run(
        ["bash", "-c", '[ ! -f "$0" ] || . "$0"; exec env -0', os.path.join(base, "env", "env.sh")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        check=False,
    ).stdout
    pairs = (entry.partition("=") for entry in loaded.decode("utf-8", "surrogateescape").split("\0"))
    env = {name: value for name, _, value in pairs if name and name != "_"} or env
    workspace = spec["workspace"]
    own = [os.path.join(workspace, ".venv", "bin"), os.path.join(workspace, "node_modules", ".bin")]
    env["PATH"] = os.pathsep.join(
        [*(folder for folder in own if os.path.isdir(folder)), env.get("PATH", "/usr/bin:/bin")]
    )
    return {**env, **spec["env"]}


def supervise(spec: dict[str, Any], argv: list[str], env: dict[str, str]) -> dict[str, Any]:
    """Runs a program in a session of its own and ends everything of it at its end or at the deadline."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    outputs = {"stdout": Kept(spec["output_bytes"]), "stderr": Kept(spec["output_bytes"])}
    os.makedirs(spec["cwd"], exist_ok=True)
    background = spec["background"]
    pipe = subprocess.DEVNULL if background else subprocess.PIPE
    stdin = base64.b64decode(spec["stdin"])
    child = subprocess.Popen(
        argv,
        cwd=spec["cwd"],
        env=env,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )
    if background:
        return {
            "ended": "exit",
            "exit_code": None,
            "signal": None,
            "pid": child.pid,
            **{k: v.report() for k, v in outputs.items()},
        }
    threads = [
        threading.Thread(target=outputs[name].drain, args=(getattr(child, name),), daemon=True)
        for name in ("stdout", "stderr")
    ]
    threads.append(threading.Thread(target=feed, args=(child, stdin), daemon=True))
    for thread in threads:
        thread.start()
    ended = "exit"
    try:
        child.wait(spec["timeout_ms"] / 1000)
    except subprocess.TimeoutExpired:
        ended = "deadline"
    end_group(child)
    for thread in threads[:2]:
        thread.join(1)
    code = child.returncode
    named = signal.Signals(-code).name.removeprefix("SIG") if code is not None and code < 0 else None
    return {
        "ended": ended,
        "exit_code": code if code is not None and code >= 0 and ended == "exit" else None,
        "signal": named,
        **{name: output.report() for name, output in outputs.items()},
    }


def feed(child: subprocess.Popen[bytes], stdin: bytes) -> None:
    try:
        if child.stdin is not None:
            child.stdin.write(stdin)
            child.stdin.close()
    except OSError:
        pass


def end_group(child: subprocess.Popen[bytes]) -> None:
    """A call ends when its main process does; what it left behind in its group goes with it."""
    for number, wait_s in ((signal.SIGTERM, KILL_AFTER_S), (signal.SIGKILL, 1)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
    if child.returncode is None:
        child.poll()


class Kept:
    """Head and tail of a stream within a budget, and how long it was."""

    def __init__(self, limit: int) -> None:
        self.head_limit, self.tail_limit = (limit + 1) // 2, limit // 2
        self.head, self.tail, self.total = bytearray(), bytearray(), 0
        self.lock = threading.Lock()

    def drain(self, stream: Any) -> None:
        while chunk := stream.read1(65536):
            self.push(chunk)

    def push(self, chunk: bytes) -> None:
        with self.lock:
            self.total += len(chunk)
            room = self.head_limit - len(self.head)
            self.head += chunk[:room]
            self.tail += chunk[max(room, 0) :]
            if len(self.tail) > self.tail_limit:
                del self.tail[: len(self.tail) - self.tail_limit]

    def of(self, content: bytes) -> dict[str, Any]:
        self.push(content)
        return self.report()

    def report(self) -> dict[str, Any]:
        with self.lock:
            head, tail = (base64.b64encode(part).decode("ascii") for part in (self.head, self.tail))
            return {"head": head, "tail": tail, "total": self.total}


# Files


def collect(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_COLLECTED_BYTES + 1)
        os.unlink(path)
    except OSError:
        return None
    return None if len(content) > MAX_COLLECTED_BYTES else content.decode("utf-8", "replace")


def snapshot(workspace: str) -> dict[str, tuple[Any, ...]]:
    """Every path but our own folder. Package trees are one entry each."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(workspace):
        relative = os.path.relpath(folder, workspace)
        prefix = "" if relative == "." else f"{relative}/"
        if prefix == "":
            folders[:] = [name for name in folders if name != ".paddock"]
        for name in [name for name in folders if name in TREES]:
            folders.remove(name)
            found[prefix + name] = tree(os.path.join(folder, name))
        for name in folders + files:
            try:
                found[prefix + name] = entry(os.lstat(os.path.join(folder, name)))
            except OSError:
                continue
    return found


def entry(facts: os.stat_result) -> tuple[Any, ...]:
    mode = facts.st_mode
    if stat.S_ISDIR(mode):
        return ("dir", 0, facts.st_mode)
    kind = "file" if stat.S_ISREG(mode) else "symlink" if stat.S_ISLNK(mode) else "other"
    return (kind, facts.st_size, mode, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns)


def tree(path: str) -> tuple[Any, ...]:
    count = size = newest = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                facts = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            count, size, newest = count + 1, size + facts.st_size, max(newest, facts.st_ctime_ns)
    return ("tree", size, count, newest)


def compare(
    workspace: str, before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]
) -> tuple[list[dict[str, Any]], int]:
    changed = [
        ("created" if path not in before else "modified", path, facts)
        for path, facts in sorted(after.items())
        if before.get(path) != facts
    ]
    changed += [("deleted", path, facts) for path, facts in sorted(before.items()) if path not in after]
    budget, rows = MAX_HASH_BYTES, []
    for kind, path, facts in changed[:MAX_CHANGES]:
        type_, size = facts[0], facts[1]
        sha256 = None
        if kind != "deleted" and type_ == "file" and size <= budget:
            sha256, budget = digest(os.path.join(workspace, path)), budget - size
        rows.append(
            {
                "kind": kind,
                "path": path,
                "type": type_,
                "size": size,
                "sha256": sha256,
                "files": facts[2] if type_ == "tree" else None,
            }
        )
    return rows, max(0, len(changed) - MAX_CHANGES)


def digest(path: str) -> str | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
