"""The warm Python interpreter, and what is asked of it: a child for each run and each context."""

from __future__ import annotations

import os
import sys

from cpython import AF_UNIX, SCM_RIGHTS, SIGKILL, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, deque, socket, socketpair
from interpreters.asks import Dismissed
from interpreters.node_process import RUNNERS
from json_text import JsonError, decode_object, encode
from processes.evidence import LOOK_SECONDS, Chance
from processes.ledger import read_stat
from processes.spawn import Plan, spawn
from processes.status import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from channel.calls import Fields
    from interpreters.asks import Ask, Waiter
    from loop import Loop
    from processes.ledger import Ledger
    from processes.reaper import Reaper

MESSAGE_BYTES = 64 * 1024
STOPPED_LOOKS = 2
STUCK_SECONDS = 0.5
"""An interpreter that had so long for one answer, by the kernel's account, will not give it."""
STOPPED_SECONDS = 1.0


class WarmPython:
    """A process that imported the preload list and forks one child per run. It never holds a run's code.

    It is given up when the kernel shows that it does not work: it is gone, it stays stopped, or it had its chance to
    answer and did not. Its start may take any time.
    """

    __slots__ = (
        "_loop", "_ledger", "_reaper", "_socket", "_queue", "_asked", "_runners", "_pids", "_ending", "_next_id",
        "_is_ready", "_is_blocked", "_is_gone", "_is_suspect", "_is_watched", "_chance", "_sealed", "_on_lost", "alive",
        "exposed", "pid",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        ledger: Ledger,
        reaper: Reaper,
        argv: Sequence[str],
        preload: Sequence[str],
        env: Mapping[str, str],
        has_guests: Callable[[], bool],
        on_lost: Callable[[list[Ask]], None],
    ) -> None:
        """`on_lost` gets what the interpreter owes when it is lost."""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        arguments = [*argv, "-B", "-X", "frozen_modules=on", f"{RUNNERS}/python/warm.py"]
        with_theirs = theirs.detach()
        try:
            self.pid = spawn(Plan(arguments, env, "/", [0, 0, 0, with_theirs])).pid
        except OSError:
            ours.close()
            raise
        finally:
            os.close(with_theirs)
        ours.setblocking(False)
        self._loop = loop
        self._ledger = ledger
        self._reaper = reaper
        self._on_lost = on_lost
        self._socket: socket = ours
        self._queue: deque[Ask] = deque()
        """Not sent yet: it still starts, or it is slow to read."""
        self._asked: dict[int, Ask | None] = {}
        """Sent and not answered; None when nobody waits any more."""
        self._runners: dict[int, Waiter] = {}
        self._pids: dict[int, int] = {}
        self._ending: set[int] = set()
        """Children that were killed."""
        self._next_id = 1
        self._is_ready = False
        self._is_blocked = False
        self._is_gone = False
        self._is_suspect = False
        """It was stopped a while ago."""
        self._is_watched = False
        self._chance: Chance | None = None
        self._sealed = False
        self.alive = True
        """False as soon as it is given up: it is asked for nothing more."""
        self.exposed = has_guests()
        """Guest code ran while the memory of this process was open to it."""
        ledger.claim_forker(self.pid, lambda: bool(self._asked))
        reaper.watch(self.pid, self._exited)
        loop.watch(ours.fileno(), self._readable, read=True)
        try:
            ours.send(encode({"preload": list(preload)}))
        except OSError:  # it is gone already; its exit says the rest
            pass

    @property
    def idle(self) -> bool:
        return not (self._queue or self._asked or self._runners)

    def guest_started(self) -> None:
        if not self._sealed and not self.exposed:
            self._sealed = _is_closed_memory(self.pid)
            self.exposed = not self._sealed

    # Children

    def start(self, ask: Ask) -> None:
        self._queue.append(ask)
        self._flush()
        self._watch()

    def withdraw(self, ask: Ask) -> None:
        if ask in self._queue:
            self._queue.remove(ask)
        self._asked = {run_id: None if asked is ask else asked for run_id, asked in self._asked.items()}

    def expect_end(self, pid: int) -> None:
        if pid in self._pids.values():
            self._ending.add(pid)
            self._watch()

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            try:
                os.kill(self.pid, SIGKILL)
            except OSError:
                pass
            self._leave_asks()

    def _leave_asks(self) -> None:
        asks = [*(ask for ask in self._asked.values() if ask is not None), *self._queue]
        self._queue.clear()
        self._asked = dict.fromkeys(self._asked)
        if asks:
            self._on_lost(asks)

    # Messages

    def _flush(self) -> None:
        try:
            while self._queue and self._is_ready:
                self._ask_for(self._queue[0])
                self._queue.popleft()
            is_blocked = False
        except BlockingIOError:
            is_blocked = True
        except OSError:
            self.kill()
            return
        if is_blocked != self._is_blocked:
            self._is_blocked = is_blocked
            self._loop.watch(self._socket.fileno(), self._readable, read=True, write=is_blocked)

    def _ask_for(self, ask: Ask) -> None:
        message = {"id": self._next_id, "cwd": ask.cwd, "rlimits": dict(ask.rlimits), "context": ask.is_context}
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, *ask.pipes.theirs))  # our own 0 is /dev/null
        self._socket.sendmsg([encode(message)], [(SOL_SOCKET, SCM_RIGHTS, rights)])
        ask.pipes.close_theirs()
        self._asked[self._next_id] = ask
        self._next_id += 1

    def _readable(self, _events: int) -> None:
        if self._is_blocked:
            self._flush()
        if not self._is_gone and not self._receive():
            self._loop.forget(self._socket.fileno())
            self.kill()

    def _receive(self) -> bool:
        """False at the end of the socket, or when it says what it must not."""
        try:
            while message := self._socket.recv(MESSAGE_BYTES):
                self._take(decode_object(message))
        except BlockingIOError:
            return True
        except (OSError, JsonError, KeyError, TypeError):
            pass
        return False

    def _take(self, message: Fields) -> None:
        self._chance = None
        run_id = message.get("id")
        if message.get("ready") is True:
            self._is_ready = True
            if self.alive:
                self._flush()
        elif not isinstance(run_id, int):
            return
        elif "wait_status" in message:
            usage = Usage(_count(message["user_us"]), _count(message["system_us"]), _count(message["max_rss_bytes"]))
            self._child_ended(run_id, _count(message["wait_status"]) & 0xFFFF, usage)
        elif run_id in self._asked:
            self._answered(run_id, _count(message["pid"]) if "pid" in message else 0)

    def _answered(self, run_id: int, pid: int) -> None:
        """`pid` is 0 when it could not fork."""
        is_child = self._is_child(pid)
        if pid > 0 and not is_child and _is_dead(self.pid):
            return  # the child is an orphan by now, and the ask goes to the next interpreter
        ask = self._asked.pop(run_id)
        if not is_child:
            if ask is not None:
                ask.fail()
            return
        self._runners[run_id] = Dismissed(self._ledger, pid) if ask is None else ask.runner
        self._pids[run_id] = pid
        # for the case that it outlives the warm interpreter and comes to us
        self._reaper.watch(pid, lambda status, usage: self._child_ended(run_id, status, usage))
        if ask is not None:
            ask.runner.runner_started(pid, ask.pipes)

    def _is_child(self, pid: int) -> bool:
        """The preload list is guest code, so a pid from there may be anybody's."""
        if pid <= 1 or self._reaper.watches(pid):
            return False
        stat = read_stat(pid)
        return stat is None or stat.parent == self.pid

    def _child_ended(self, run_id: int, wait_status: int, usage: Usage) -> None:
        runner = self._drop(run_id)
        if runner is not None:
            runner.runner_ended(wait_status, usage)

    def _drop(self, run_id: int) -> Waiter | None:
        pid = self._pids.pop(run_id, None)
        if pid is not None:
            self._ending.discard(pid)
            self._reaper.ignore(pid)
        return self._runners.pop(run_id, None)

    def _exited(self, _wait_status: int, _usage: Usage) -> None:
        self.alive = False
        self._receive()
        self._is_gone = True
        self._ledger.drop(self.pid)
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        for run_id, pid in list(self._pids.items()):
            runner = None if _is_our_child(pid) else self._drop(run_id)
            if runner is not None:
                runner.runner_lost()
        self._leave_asks()
        self._asked.clear()

    # Whether it works

    def stopped(self) -> None:
        """It reports no end of a child, and maybe nobody asks for one and would notice: it is looked at in a while."""
        self._loop.after(STOPPED_SECONDS, self._suspect)

    def _suspect(self) -> None:
        self._is_suspect = True
        self._watch()

    def _watch(self) -> None:
        if self.alive and not self._is_watched:
            self._is_watched = True
            self._loop.after(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._is_watched = False
        if not self._is_expected():
            self._chance = None
        elif self._chance is None:
            self._chance = Chance(self.pid)
        else:
            self._judge(self._chance)
        if self._queue or self._asked or self._ending or self._is_suspect:
            self._watch()

    def _is_expected(self) -> bool:
        """Whether it has to do something now."""
        return bool(self._queue or self._asked) or self._is_suspect or any(_is_dead(pid) for pid in self._ending)

    def _judge(self, chance: Chance) -> None:
        chance.look()
        self._is_suspect = self._is_suspect and chance.stopped_looks > 0
        if chance.stopped_looks >= STOPPED_LOOKS or (self._is_ready and chance.seconds >= STUCK_SECONDS):
            self.kill()


def _is_dead(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is None or stat.dead


def _is_closed_memory(pid: int) -> bool:
    """The kernel gives the files of a process that made itself undumpable to root."""
    try:
        return os.stat(f"/proc/{pid}/mem").st_uid != os.getuid()
    except OSError:
        return True


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError("not a count")
    return value


def _is_our_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        return False
    return True
