"""Starting processes, talking to them, finding them again."""

from __future__ import annotations

import hashlib
import os
import signal
import unittest

from host import PYTHON, Host, wait_until

LIST_DESCRIPTORS = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd')))"


class Shared(unittest.TestCase):
    host: Host

    @classmethod
    def setUpClass(cls) -> None:
        cls.host = Host()
        cls.host.__enter__()
        cls.addClassCleanup(cls.host.close)


class Exits(Shared):
    def test_exit_codes_are_reported(self) -> None:
        for code in (0, 1, 7, 126, 127, 137, 255):
            answer = self.host.shell(f"exit {code}").answer
            self.assertEqual((answer["reason"], answer["exit_code"], answer["signal"]), ("exit", code, None))

    def test_signals_are_reported_by_name_without_an_exit_code(self) -> None:
        for name in ("HUP", "KILL", "SEGV", "TERM", "ABRT"):
            answer = self.host.shell(f"kill -{name} $$").answer
            self.assertEqual((answer["reason"], answer["exit_code"], answer["signal"]), ("exit", None, name))

    def test_a_missing_program_exits_127_and_says_so(self) -> None:
        for name in ("no-such-program", "/no/such/program", "./missing", ""):
            for rlimits in ({}, {"open_files": 64}):
                with self.subTest(name=name, rlimits=rlimits):
                    result = self.host.run(name, rlimits=rlimits)
                    self.assertEqual(result.answer["exit_code"], 127)
                    self.assertRegex(result.stderr, b"^paddock: .*\n$")

    def test_what_cannot_be_executed_exits_126_and_says_why(self) -> None:
        (self.host.workspace / "plain").write_text("hello")
        for name, why in (("./plain", b"Permission denied"), ("/workspace", b"Permission denied")):
            for rlimits in ({}, {"open_files": 64}):
                with self.subTest(name=name, rlimits=rlimits):
                    result = self.host.run(name, rlimits=rlimits)
                    self.assertEqual(result.answer["exit_code"], 126)
                    self.assertIn(why, result.stderr)

    def test_a_folder_that_is_missing_or_none_fails_before_the_start(self) -> None:
        (self.host.workspace / "file").write_text("")
        for cwd, code in (("nowhere", "not_found"), ("file", "not_a_directory"), ("/root/x", "not_found")):
            self.assertEqual(self.host.run("/usr/bin/true", cwd=cwd).answer.get("code"), code)

    def test_usage_and_duration_are_measured(self) -> None:
        answer = self.host.python("x = sum(i for i in range(2_000_000)); import time; time.sleep(0.1)").answer
        self.assertGreater(answer["user_us"], 20_000)
        self.assertGreater(answer["max_rss_bytes"], 4 << 20)
        self.assertGreater(answer["duration_us"], 100_000)
        self.assertFalse(answer["shared"])


class Surroundings(Shared):
    def test_only_descriptors_0_to_2_are_open(self) -> None:
        for changes in ({}, {"stdin": True}, {"rlimits": {"open_files": 99}}, {"pty": {"rows": 10, "cols": 20}}):
            with self.subTest(**changes):
                result = self.host.python(LIST_DESCRIPTORS, **changes)
                self.assertEqual(result.stdout.strip(), b"[0, 1, 2, 3]", "3 is the listing itself")

    def test_it_leads_a_session_and_a_group_and_is_no_child_of_a_guest(self) -> None:
        script = "import os; print(os.getsid(0) == os.getpgrp() == os.getpid(), os.getppid())"
        self.assertEqual(self.host.python(script).stdout, b"True 1\n")

    def test_signals_have_their_default_action(self) -> None:
        script = "import os; t = open('/proc/self/status').read(); print([l for l in t.split('\\n') if l[:3] == 'Sig'])"
        out = self.host.run(PYTHON, "-S", "-c", "print(open('/proc/self/status').read())").stdout.decode()
        ignored = next(int(line.split()[1], 16) for line in out.splitlines() if line.startswith("SigIgn"))
        blocked = next(int(line.split()[1], 16) for line in out.splitlines() if line.startswith("SigBlk"))
        self.assertEqual(blocked, 0)
        python_itself = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
        self.assertEqual(ignored & ~python_itself, 0, script)
        self.assertEqual(self.host.run("/bin/sh", "-c", "kill -PIPE $$").answer["signal"], "PIPE")

    def test_the_environment_is_base_then_proxy_then_call(self) -> None:
        self.host.init(env={"BASE": "base", "BOTH": "base"})
        result = self.host.run("/usr/bin/env", env={"BOTH": "call", "no_proxy": "mine", "ÜNI": "ü"})
        env = dict(line.split("=", 1) for line in result.stdout.decode().splitlines())
        port = result.event("started")["relay_port"]
        for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY", "npm_config_https_proxy", "PIP_PROXY"):
            self.assertEqual(env[name], f"http://127.0.0.1:{port}")
        self.assertEqual((env["BASE"], env["BOTH"], env["no_proxy"], env["ÜNI"]), ("base", "call", "mine", "ü"))
        self.assertEqual((env["NO_PROXY"], env["NODE_USE_ENV_PROXY"]), ("localhost,127.0.0.1,::1", "1"))
        self.assertNotIn("PADDOCK_SUPERVISOR_TRACE", env)

    def test_limits_are_set_and_cannot_be_raised(self) -> None:
        script = (
            "import resource as r\n"
            "print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_FSIZE))\n"
            "try: r.setrlimit(r.RLIMIT_NOFILE, (99, 99))\n"
            "except ValueError: print('refused')\n"
        )
        result = self.host.python(script, rlimits={"open_files": 64, "file_bytes": 1000})
        self.assertEqual(result.stdout, b"(64, 64) (1000, 1000)\nrefused\n")
        spun = self.host.python("while True: pass", rlimits={"cpu_seconds": 1}).answer
        self.assertIn(spun["signal"], ("XCPU", "KILL"))

    def test_the_kernel_would_kill_it_before_the_supervisor(self) -> None:
        script = "print(open('/proc/self/oom_score_adj').read().strip(), open('/proc/1/oom_score_adj').read().strip())"
        for rlimits in ({}, {"open_files": 64}):
            self.assertEqual(self.host.python(script, rlimits=rlimits).stdout, b"500 0\n")


class Input(Shared):
    def test_without_stdin_it_reads_the_end_at_once(self) -> None:
        self.assertEqual(self.host.shell("cat; echo over").stdout, b"over\n")

    def test_stdin_arrives_unchanged_and_ends(self) -> None:
        content = os.urandom(3 << 20)
        call = self.host.start("/usr/bin/sha256sum", stdin=True)
        call.send_data(content)
        call.end()
        self.assertEqual(call.finish().stdout.split()[0].decode(), hashlib.sha256(content).hexdigest())

    def test_input_for_a_process_that_closed_it_does_no_harm(self) -> None:
        call = self.host.start("/bin/sh", "-c", "exec <&-; sleep 0.2; echo fine", stdin=True)
        call.send_data(b"x" * (1 << 20))
        self.assertEqual(call.finish().stdout, b"fine\n")

    def test_a_process_that_reads_nothing_is_still_cancelled_from_another_connection(self) -> None:
        call = self.host.start("/bin/sleep", "100", stdin=True)
        pid = call.wait_event("started")["pid"]
        call.send_data(b"x" * (1 << 20))
        self.assertEqual(self.host.ask("signal", pid=pid, signal="KILL"), {"op": "done"})
        self.assertEqual(call.finish().answer["signal"], "KILL")

    def test_a_signal_reaches_the_group(self) -> None:
        call = self.host.start(
            "/bin/sh", "-c", "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.01; done"
        )
        call.wait_output(b"ready")
        call.control(op="signal", signal="USR1")
        result = call.finish()
        self.assertEqual((result.stdout, result.answer["exit_code"]), (b"ready\ngot\n", 5))


class Terminals(Shared):
    def test_a_terminal_has_the_size_and_changes_it(self) -> None:
        script = "trap 'stty size; exit' WINCH; tty; stty size; while :; do sleep 0.01; done"
        call = self.host.start("/bin/sh", "-c", script, pty={"rows": 11, "cols": 22})
        call.wait_output(b"11 22")
        call.control(op="resize", rows=33, cols=44)
        result = call.finish()
        self.assertIn(b"/dev/pts/", result.stdout)
        self.assertIn(b"33 44", result.stdout)
        self.assertEqual(result.stderr, b"")

    def test_typed_input_and_control_characters_work(self) -> None:
        script = (
            "import os, signal, sys\n"
            "signal.signal(signal.SIGINT, lambda *_: os.write(1, b'interrupted'))\n"
            "print('ready', flush=True)\n"
            "for line in sys.stdin: print('got', line, end='', flush=True)\n"
            "print('over')\n"
        )
        call = self.host.start(PYTHON, "-c", script, pty={"rows": 10, "cols": 40}, stdin=True)
        call.wait_output(b"ready")
        call.send_data(b"\x03")
        call.wait_output(b"interrupted")
        call.send_data(b"hello\n")
        call.wait_output(b"hello\r\ngot hello\r\n")
        call.end()
        self.assertIn(b"over", call.finish().stdout)

    def test_the_terminal_controls_its_session(self) -> None:
        result = self.host.python("import os; print(os.tcgetpgrp(0) == os.getpid())", pty={"rows": 10, "cols": 40})
        self.assertEqual(result.stdout.strip(), b"True")


class FindingAgain(Shared):
    def test_a_process_outlives_its_connection_and_is_attached_to_by_pid(self) -> None:
        call = self.host.start("/bin/sh", "-c", "echo one; read line; echo two $line; exit 4", stdin=True)
        pid = call.wait_event("started")["pid"]
        call.wait_output(b"one")
        call.link.close()
        again = self.attach(pid)
        again.send_data(b"more\n")
        result = again.finish()
        self.assertEqual((result.stdout, result.answer["exit_code"]), (b"two more\n", 4))

    def attach(self, pid: int):
        """The supervisor learns of a closed connection a moment after the host closed it."""
        while True:
            call = self.host.call("attach", pid=pid)
            _, fields = call.step()
            if not call.result.answer:
                return call
            self.assertEqual(fields["code"], "busy")
            call.finish()

    def test_output_made_while_nobody_listened_is_kept_in_the_ring(self) -> None:
        call = self.host.start(PYTHON, "-c", "print('x' * 2_000_000, end='END')")
        pid = call.wait_event("started")["pid"]
        call.link.close()
        wait_until(lambda: not self.host.ask("processes")["processes"][0]["running"])
        again = self.attach(pid)
        result = again.finish()
        gap = result.event("gap")["bytes"]
        self.assertTrue(result.stdout.endswith(b"END"))
        self.assertEqual(result.answer["stdout"]["bytes"], 2_000_003)
        self.assertGreater(gap, 0)
        self.assertLessEqual(len(result.stdout), 2 << 20)

    def test_a_finished_process_tells_its_end_again(self) -> None:
        pid = self.host.shell("exit 9").event("started")["pid"]
        answer = self.host.ask("attach", pid=pid)
        self.assertEqual((answer["op"], answer["exit_code"]), ("done", 9))

    def test_a_process_that_is_followed_cannot_be_attached_to(self) -> None:
        call = self.host.start("/bin/sleep", "100")
        pid = call.wait_event("started")["pid"]
        self.assertEqual(self.host.ask("attach", pid=pid)["code"], "busy")
        self.assertEqual(self.host.ask("attach", pid=4_000_000)["code"], "not_found")
        call.control(op="cancel")
        call.finish()

    def test_processes_lists_what_runs(self) -> None:
        script = "/bin/sleep 100 & /bin/sleep 100 & echo ready; wait"
        call = self.host.start("/bin/sh", "-c", script)
        call.wait_output(b"ready")
        (entry,) = [entry for entry in self.host.ask("processes")["processes"] if entry["running"]]
        self.assertEqual(entry["argv"], ["/bin/sh", "-c", script])
        self.assertEqual((entry["call"], entry["background"], entry["children"]), (call.id, False, 2))
        call.control(op="cancel")
        call.finish()

    def test_a_listing_of_long_argument_lists_stays_one_control_message(self) -> None:
        calls = [self.host.start("/bin/sleep", "100", "\x01" * 9_000) for _ in range(3)]
        calls += [self.host.start("/bin/sh", "-c", "sleep 100", *["é"] * 5000) for _ in range(12)]
        for call in calls:
            call.step()
        listed = self.host.ask("processes")["processes"]
        self.assertGreaterEqual(len([entry for entry in listed if entry["running"]]), 12)
        for call in calls:
            if not call.result.answer:
                call.control(op="cancel")
            call.finish()

    def test_only_listed_processes_can_be_signalled(self) -> None:
        self.assertEqual(self.host.ask("signal", pid=4_000_000, signal="TERM")["code"], "not_found")


if __name__ == "__main__":
    unittest.main()
