"""Stands in for the supervisor: dials the host and runs the Python it is sent, as pid 1 of the sandbox."""

import json
import socket
import sys
import traceback
from typing import Any

first_line = json.loads(sys.stdin.readline())
channel = socket.socket(socket.AF_UNIX)
channel.connect(first_line["socket"])
stream = channel.makefile("rwb")
shared: dict[str, Any] = {"first_line": first_line}

for line in stream:
    scope = dict(shared)
    try:
        exec(json.loads(line)["code"], scope)
        answer = {"result": scope.get("result")}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    scope.clear()
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.flush()
