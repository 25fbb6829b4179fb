"""Work that may block, done in a child so that the launcher stays awake."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from events import Events

_MAX_SECONDS = 60
_MAX_ANSWER_BYTES = 4096

Answer = dict[str, Any]


def run_in_child(
    events: Events, work: Callable[[], Answer], done: Callable[[Answer], None], keep: tuple[int, ...] = ()
) -> None:
    """Calls back with what `work` returned, or with `{"error": text}`. The child keeps the descriptors in `keep` and no
    other, no lock above all."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run(work, write, keep)
    os.close(write)

    def finish(_status: int) -> None:
        text = os.read(read, _MAX_ANSWER_BYTES)
        os.close(read)
        done(json.loads(text) if text else {"error": f"no answer within {_MAX_SECONDS} s"})

    events.watch_child(pid, finish)


def _run(work: Callable[[], Answer], write: int, keep: tuple[int, ...]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(_MAX_SECONDS)
        _close_others({write, *keep})
        try:
            answer = work()
        except Exception as error:  # whatever went wrong is the answer
            answer = {"error": f"{type(error).__name__}: {error}"[:1000]}
        os.write(write, json.dumps(answer).encode())
    finally:
        os._exit(0)


def _close_others(kept: set[int]) -> None:
    nothing = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 2**31 - 1)
