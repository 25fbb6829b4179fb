"""Runs one file operation on the supervisor's real call object, with a channel that only keeps what is sent."""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import tempfile
import unittest

SUPERVISOR = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../../images/supervisor"))
sys.dont_write_bytecode = True
sys.path.insert(0, SUPERVISOR)

from channel.calls import DATA, Call, OpError  # noqa: E402
from channel.requests import REQUESTS, explain_mismatch  # noqa: E402
from files import OPERATIONS  # noqa: E402

DEFAULTS = {
    "read": {"offset": 0, "length": None},
    "write": {"mode": 0o644, "parents": False, "append": False, "offset": None, "exclusive": False},
    "list": {"depth": 1, "limit": 1000},
    "mkdir": {"parents": False},
    "remove": {"recursive": False},
    "watch": {"recursive": True},
    "tar_in": {"withhold": None, "allow": []},
    "tar_out": {"paths": None},
    "diff": {"max_files": 1000, "max_hash_bytes": 1 << 26},
}
EVENT_TIMEOUT_S = 10


class Channel:
    def __init__(self):
        self.buffered = 0
        self.largest_buffered = 0
        self.data = []
        self.events = []

    def send(self, kind, payload):
        assert kind == DATA and 0 < len(payload) <= 1 << 20
        self.data.append(payload)
        self.buffered += len(payload)
        self.largest_buffered = max(self.largest_buffered, self.buffered)

    def send_control(self, fields):
        assert len(json.dumps(fields)) < 1 << 16
        self.events.append(fields)

    def end_call(self):
        raise AssertionError("operations return, they do not end the call")

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


class Running:
    """One operation. `on_event` sees events as they come; `frames` is what the host sends."""

    def __init__(self, workspace, op, frames=(), on_event=None, **fields):
        request = {"op": op, "call": "c1", **DEFAULTS.get(op, {}), **fields}
        problem = explain_mismatch(request, REQUESTS[op])
        assert problem is None, problem
        self.channel = Channel()
        self.call = Call(self.channel, "c1", workspace)
        self.generator = OPERATIONS[op](self.call, request)
        self.frames = iter(frames)
        self.on_event = on_event
        self.steps = 0
        self.value = None

    def run(self, value=None):
        """To the end; `value` answers what a test that took the first steps itself left open."""
        try:
            while True:
                wait = self.generator.send(value)
                value = self.answer(wait)
        except StopIteration as stop:
            self.value = stop.value
            return self

    def answer(self, wait):
        if wait.kind == "frame":
            return next(self.frames)
        if wait.kind == "drain":
            self.channel.buffered = 0
        if wait.kind == "step":
            self.steps += 1
        if wait.kind == "readable":
            return self.on_event(self, wait.fd)
        return None

    @property
    def data(self):
        return b"".join(self.channel.data)

    @property
    def lines(self):
        return [json.loads(line) for line in self.data.splitlines()]


def wait_readable(fd):
    ready, _, _ = select.select([fd], [], [], EVENT_TIMEOUT_S)
    if not ready:
        raise AssertionError("no event came")


class FilesTest(unittest.TestCase):
    temporary = None

    def setUp(self):
        base = os.path.realpath(tempfile.mkdtemp(prefix="paddock-files-", dir=self.temporary))
        self.addCleanup(remove_tree, base)
        self.workspace = os.path.join(base, "workspace")
        self.outside = os.path.join(base, "outside")
        os.mkdir(self.workspace, 0o755)
        os.mkdir(self.outside, 0o755)
        os.chmod(base, 0o755)
        self.put_outside("canary", b"canary")
        self.open_before = count_descriptors()

    def path(self, name):
        return os.path.join(self.workspace, name)

    def put(self, name, content=b"", mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)

    def put_outside(self, name, content):
        with open(os.path.join(self.outside, name), "wb") as file:
            file.write(content)

    def get(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def run_op(self, op, frames=(), on_event=None, **fields):
        return Running(self.workspace, op, frames, on_event, **fields).run()

    def done(self, op, frames=(), **fields):
        return self.run_op(op, frames, **fields).value

    def failure(self, op, frames=(), **fields):
        with self.assertRaises(OpError) as caught:
            self.run_op(op, frames, **fields)
        return caught.exception

    def assert_fails(self, code, op, frames=(), **fields):
        error = self.failure(op, frames, **fields)
        self.assertEqual(error.code, code, error.message)
        return error.message

    def assert_canary(self):
        self.assertEqual(sorted(os.listdir(self.outside)), ["canary"])
        with open(os.path.join(self.outside, "canary"), "rb") as file:
            self.assertEqual(file.read(), b"canary")

    def tearDown(self):
        # the held anchors of the workspace and of / are the only descriptors that stay
        self.assertLessEqual(count_descriptors() - self.open_before, 2, "descriptors leaked")


def count_descriptors():
    return len(os.listdir("/proc/self/fd"))


def remove_tree(path):
    for folder, names, _ in os.walk(path):
        for name in names:
            full = os.path.join(folder, name)
            if not os.path.islink(full):
                os.chmod(full, 0o700)
    shutil.rmtree(path)
