"""How calls end, and that nothing of them is left."""

from __future__ import annotations

import contextlib
import threading
import time
import unittest

from host import PYTHON, Host, HostCall, altered, starved, wait_until

DEAF = "import os, signal, time\nfor n in (1, 2, 3, 13, 15): signal.signal(n, signal.SIG_IGN)\n"
SPIN = "while True: time.sleep(1)\n"
DAEMON = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork(): os._exit(0)\n time.sleep(100)\nos.wait()\n"

BOMB = (
    "import os, resource, signal, time\n"
    "resource.setrlimit(resource.RLIMIT_NPROC, (90, 90))\n"
    "if os.fork(): os.wait(); time.sleep(9)\n"
    "signal.signal(15, signal.SIG_IGN)\n"
    "while True:\n"
    "    try:\n"
    "        if os.fork() == 0: os.setsid()\n"
    "        elif os.getpid() % 3: os._exit(0)\n"
    "    except OSError: pass\n"
)
"""Each of its processes has a session of its own, and most end at once: what is listed is gone before it is killed."""


def send_quietly(call: HostCall, count: int) -> None:
    with contextlib.suppress(OSError):
        call.send_data(bytes(count))


class Shared(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host()
        self.host.__enter__()
        self.addCleanup(self.host.close)

    def living(self) -> list[str]:
        """Command lines of everything in the sandbox but the supervisor and the question itself."""
        script = (
            "import os\n"
            "for pid in os.listdir('/proc'):\n"
            "    if pid.isdigit() and int(pid) not in (1, os.getpid()):\n"
            "        try: print(ascii(open(f'/proc/{pid}/cmdline').read()))\n"
            "        except OSError: pass\n"
        )
        return [line for line in self.host.python(script).stdout.decode().splitlines() if line]

    def background(self, *argv: str) -> HostCall:
        return self.host.start(*argv, background=True)


class Deadlines(Shared):
    def test_a_polite_process_ends_at_its_deadline_by_term(self) -> None:
        begun = time.monotonic()
        answer = self.host.run("/bin/sleep", "100", deadline_ms=300).answer
        self.assertEqual((answer["reason"], answer["signal"], answer["exit_code"]), ("deadline", "TERM", None))
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)

    def test_a_process_that_ignores_signals_is_killed_a_quarter_second_later(self) -> None:
        begun = time.monotonic()
        result = self.host.python(DEAF + "print('here', flush=True)\n" + SPIN, deadline_ms=500)
        self.assertEqual((result.answer["reason"], result.answer["signal"]), ("deadline", "KILL"))
        self.assertEqual(result.stdout, b"here\n")
        self.assertGreaterEqual(time.monotonic() - begun, 0.75)

    def test_many_deaf_processes_with_sessions_of_their_own_all_go(self) -> None:
        script = DEAF + "for _ in range(60):\n if os.fork() == 0:\n  os.setsid()\n  break\n" + SPIN
        answer = self.host.python(script, deadline_ms=600).answer
        self.assertEqual((answer["reason"], answer["killed"], answer["survivors"]), ("deadline", 60, 0))
        self.assertEqual(self.living(), [])

    def test_children_that_had_died_are_not_counted_as_killed(self) -> None:
        script = DEAF + "for _ in range(60):\n if os.fork() == 0:\n  os._exit(0)\n" + SPIN
        answer = self.host.python(script, deadline_ms=600).answer
        self.assertEqual((answer["reason"], answer["killed"], answer["survivors"]), ("deadline", 0, 0))

    def test_a_stopped_process_ends_at_its_deadline(self) -> None:
        answer = self.host.shell("kill -STOP $$", deadline_ms=200).answer
        self.assertEqual((answer["reason"], answer["signal"]), ("deadline", "KILL"))

    def test_a_process_that_handles_term_reports_its_own_code(self) -> None:
        answer = self.host.shell("trap 'exit 3' TERM; while :; do sleep 0.01; done", deadline_ms=200).answer
        self.assertEqual((answer["reason"], answer["exit_code"]), ("deadline", 3))

    def test_cancel_ends_a_process_like_a_deadline(self) -> None:
        call = self.host.start("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
        call.wait_output(b"ready")
        call.control(op="cancel")
        answer = call.finish().answer
        self.assertEqual((answer["reason"], answer["signal"], answer["survivors"]), ("cancel", "KILL", 0))


class Leftovers(Shared):
    def test_a_cancel_on_another_connection_does_not_wait_behind_input_that_nobody_reads(self) -> None:
        call = self.host.start("/bin/sleep", "100", stdin=True)
        call.wait_event("started")
        sender = threading.Thread(target=send_quietly, args=(call, 16 << 20))
        sender.start()
        self.assertEqual(self.host.ask("cancel", target=call.id), {"op": "done"})
        self.assertEqual(call.finish().answer["reason"], "cancel")
        call.link.close()
        sender.join()

    def test_a_cancel_on_another_connection_ends_code_and_file_operations_too(self) -> None:
        run = self.host.call("write", path="x", mode=0o644, parents=True, append=False, offset=None, exclusive=False)
        run.send_data(b"abc")
        # Connections are read in no order: the call may not have begun yet.
        wait_until(lambda: self.host.ask("cancel", target=run.id) == {"op": "done"})
        self.assertEqual(run.finish().answer["code"], "invalid")

    def test_a_cancel_of_a_call_that_is_over_or_never_was_finds_nothing(self) -> None:
        over = self.host.run("/usr/bin/true").answer
        self.assertEqual(over["exit_code"], 0)
        self.assertEqual(self.host.ask("cancel", target="call_1.1")["code"], "not_found")
        own = self.host.call("cancel", target="call_77.7")
        self.assertEqual(own.finish().answer["code"], "not_found")

    def test_a_call_ends_with_its_main_process_though_others_hold_its_pipes(self) -> None:
        result = self.host.shell("sleep 100 & echo started")
        self.assertEqual((result.stdout, result.answer["killed"]), (b"started\n", 1))
        self.assertEqual(self.living(), [])

    def test_a_daemon_in_a_session_of_its_own_is_killed(self) -> None:
        answer = self.host.python(DAEMON).answer
        self.assertEqual((answer["exit_code"], answer["killed"], answer["survivors"]), (0, 1, 0))
        self.assertEqual(self.living(), [])

    def test_a_process_that_closed_its_output_early_still_reports_its_end(self) -> None:
        begun = time.monotonic()
        answer = self.host.shell("exec >&- 2>&- <&-; sleep 0.3; exit 7").answer
        self.assertEqual(answer["exit_code"], 7)
        self.assertGreater(time.monotonic() - begun, 0.3)


class Bombs(Shared):
    """Processes that fork faster than they are listed. That does not depend on the machine: the supervisor gets an
    eightieth of its time."""

    def explode(self, host: Host) -> int:
        """How many were killed."""
        with starved(host.supervisor_pid):
            answer = host.python(BOMB, deadline_ms=400).answer
        self.assertEqual((answer["reason"], answer["survivors"]), ("deadline", 0))
        return int(str(answer["killed"]))

    def test_nothing_of_a_bomb_is_left(self) -> None:
        for _ in range(3):
            self.assertGreater(self.explode(self.host), 16)
            self.assertEqual(self.living(), [])
        self.assertEqual(self.host.shell("echo on").stdout, b"on\n")

    def test_a_call_and_a_daemon_beside_a_bomb_go_on(self) -> None:
        other = self.host.start("/bin/sh", "-c", "sleep 100 & echo ready; read line; echo $line; wait", stdin=True)
        other.wait_output(b"ready")
        self.background("/bin/sleep", "99").finish()
        for _ in range(3):
            self.explode(self.host)
            self.assertEqual(len(self.living()), 3)
        other.send_data(b"unharmed\n")
        other.wait_output(b"unharmed")
        other.control(op="cancel")
        self.assertEqual(other.finish().answer["reason"], "cancel")
        self.assertEqual(len(self.living()), 1)

    def test_a_bomb_that_no_stop_holds_takes_along_what_is_beside_it(self) -> None:
        # It takes nothing for stopped, as if processes had woken themselves by timers.
        with (
            altered("processes/sweep.py", "MAX_LOOKS = 8", "MAX_LOOKS = 1") as supervisor,
            Host(supervisor=supervisor) as host,
        ):
            other = host.start("/bin/sh", "-c", "echo ready; sleep 100")
            other.wait_output(b"ready")
            self.explode(host)
            self.assertEqual(other.finish().answer["signal"], "KILL")
            self.assertEqual(len(host.ask("processes")["processes"]), 0)
            self.assertEqual(host.shell("echo on").stdout, b"on\n")


class Background(Shared):
    def test_a_background_call_answers_at_once_and_its_process_goes_on(self) -> None:
        result = self.background("/bin/sh", "-c", "echo out; echo err >&2; sleep 100").finish()
        pid = result.event("started")["pid"]
        self.assertEqual((result.answer["reason"], result.answer["exit_code"], result.stdout), ("exit", None, b""))
        self.assertEqual(self.host.run("/usr/bin/true").answer["killed"], 0)
        (entry,) = self.host.ask("processes")["processes"]
        self.assertEqual((entry["pid"], entry["background"], entry["running"]), (pid, True, True))

    def test_its_output_goes_to_files_and_can_be_followed(self) -> None:
        call = self.background("/bin/sh", "-c", "echo out; echo err >&2; read x; echo more")
        pid = call.finish().event("started")["pid"]
        folder = self.host.workspace / ".paddock" / "out"
        wait_until(lambda: (folder / f"{call.id}.stderr").read_bytes() == b"err\n")
        wait_until(lambda: (folder / f"{call.id}.stdout").read_bytes() == b"out\nmore\n")
        result = self.host.call("attach", pid=pid).finish()
        self.assertEqual((result.stdout, result.stderr, result.answer["exit_code"]), (b"out\nmore\n", b"err\n", 0))

    def test_a_daemon_it_leaves_outlives_later_calls_and_keeps_writing(self) -> None:
        script = "(sleep 0.3; echo late; exec sleep 100) & echo early"
        call = self.background("/bin/sh", "-c", script)
        pid = call.finish().event("started")["pid"]
        wait_until(lambda: self.host.call("attach", pid=pid).finish().answer.get("exit_code") == 0)
        answer = self.host.run("/usr/bin/true").answer
        self.assertEqual((answer["killed"], answer["shared"]), (0, True))
        file = self.host.workspace / ".paddock" / "out" / f"{call.id}.stdout"
        wait_until(lambda: file.read_bytes() == b"early\nlate\n")
        (entry,) = [entry for entry in self.host.ask("processes")["processes"] if entry["running"]]
        self.assertEqual((entry["call"], entry["background"]), (call.id, True))
        self.assertEqual(self.host.ask("signal", pid=entry["pid"], signal="KILL"), {"op": "done"})
        wait_until(lambda: self.living() == [])
        self.assertFalse(self.host.run("/usr/bin/true").answer["shared"])

    def test_a_daemon_of_a_background_call_that_leaves_its_session_is_spared(self) -> None:
        self.background(PYTHON, "-c", DAEMON.replace("os.wait()", "time.sleep(0.1)")).finish()
        for _ in range(20):
            self.assertEqual(self.host.run("/usr/bin/true").answer["killed"], 0)
        wait_until(lambda: len(self.living()) == 1)


class Overlapping(Shared):
    def test_the_end_of_one_call_spares_the_processes_of_another(self) -> None:
        other = self.host.start("/bin/sh", "-c", "sleep 100 & sleep 100 & echo ready; wait; echo ended")
        other.wait_output(b"ready")
        for _ in range(5):
            answer = self.host.python(DAEMON).answer
            self.assertEqual((answer["killed"], answer["survivors"], answer["shared"]), (1, 0, True))
        self.assertEqual(len(self.living()), 3)
        other.control(op="cancel")
        self.assertTrue(other.finish().answer["shared"])
        self.assertEqual(self.living(), [])

    def test_a_daemon_that_left_its_session_is_attributed_while_both_calls_run(self) -> None:
        other = self.host.start(PYTHON, "-c", DAEMON + "print('left', flush=True)\ntime.sleep(100)")
        other.wait_output(b"left")
        self.assertEqual(self.host.run("/usr/bin/true").answer["killed"], 0)
        self.assertEqual(len(self.living()), 2)
        other.control(op="cancel")
        self.assertEqual(other.finish().answer["killed"], 1)

    def test_calls_one_after_the_other_do_not_share(self) -> None:
        for _ in range(3):
            self.assertFalse(self.host.shell("sleep 0.01 & :").answer["shared"])


if __name__ == "__main__":
    unittest.main()
