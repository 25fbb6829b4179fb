"""Runs of code in warm interpreters and in contexts, with the real runners."""

from __future__ import annotations

import time
import unittest

from code_case import HAS_NODE, NODE_SETTINGS, CodeCase
from host import DATA, wait_until


class Python(CodeCase):
    def test_output_value_and_exit_come_back(self) -> None:
        result = self.run_code("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
        answer = result.answer
        self.assertEqual((result.stdout, result.stderr), (b"out\n", b"err\n"))
        self.assertEqual((answer["value"], answer["error"], answer["exit_code"]), ("42", None, 0))
        self.assertEqual((answer["memory_shared"], answer["truncated"], answer["reason"]), (True, False, "exit"))

    def test_the_preload_list_is_imported_before_the_run(self) -> None:
        self.assertEqual(self.run_code("import sys; 'fractions' in sys.modules").answer["value"], "True")

    def test_an_error_has_a_structure_and_exit_code_1(self) -> None:
        answer = self.run_code("def f():\n    return 1 / 0\nf()").answer
        self.assertEqual((answer["error"]["name"], answer["exit_code"]), ("ZeroDivisionError", 1))
        self.assertEqual([frame["line"] for frame in answer["error"]["traceback"]], [3, 2])

    def test_exit_codes_and_signals_are_the_processes_own(self) -> None:
        self.assertEqual(self.run_code("import sys; sys.exit(7)").answer["exit_code"], 7)
        self.assertEqual(self.run_code("import os; os.kill(os.getpid(), 9)").answer["signal"], "KILL")

    def test_runs_do_not_see_each_others_globals(self) -> None:
        self.run_code("secret = 1")
        self.assertEqual(self.run_code("secret").answer["error"]["name"], "NameError")

    def test_the_environment_names_the_runs_own_relay(self) -> None:
        result = self.run_code("import os; print(os.environ['http_proxy'], os.environ['MINE'])", env={"MINE": "yes"})
        port = result.event("started")["relay_port"]
        self.assertEqual(result.stdout.decode(), f"http://127.0.0.1:{port} yes\n")

    def test_rich_outputs_are_passed_on(self) -> None:
        result = self.run_code("class A:\n    def _repr_html_(self): return '<b>x</b>' * 100_000\nA()")
        event = result.event("rich")
        self.assertEqual((event["mime"], event["bytes"]), ("text/html", 800_000))
        self.assertEqual(result.data, b"<b>x</b>" * 100_000)

    def test_a_deadline_ends_a_run_that_ignores_signals(self) -> None:
        code = "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('on', flush=True)\nwhile True: pass"
        result = self.run_code(code, deadline_ms=300)
        self.assertEqual((result.answer["reason"], result.answer["signal"]), ("deadline", "KILL"))
        self.assertEqual(result.stdout, b"on\n")

    def test_what_a_run_leaves_behind_is_killed_and_the_interpreter_spared(self) -> None:
        daemon = (
            "import os\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork(): os._exit(0)\n"
            "    import time; time.sleep(99)\n"
            "os.wait()"
        )
        first = self.run_code("import os; os.getppid()").answer["value"]
        self.assertEqual(self.run_code(daemon).answer["killed"], 1)
        self.assertEqual(self.run_code("import os; os.getppid()").answer["value"], first)

    def test_limits_hold(self) -> None:
        code = "import resource; resource.getrlimit(resource.RLIMIT_NOFILE)"
        self.assertEqual(self.run_code(code, rlimits={"open_files": 77}).answer["value"], "(77, 77)")

    def test_a_killed_interpreter_is_replaced(self) -> None:
        code = "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(0.2)\nprint('alive')"
        result = self.run_code(code)
        self.assertEqual((result.stdout, result.answer["exit_code"]), (b"alive\n", 0))
        self.assertEqual(self.run_code("1 + 1").answer["value"], "2")

    def test_a_stopped_interpreter_costs_one_call_and_is_replaced(self) -> None:
        answer = self.run_code("import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)", deadline_ms=500).answer
        self.assertEqual(answer["reason"], "deadline")
        self.assertEqual(self.run_code("1 + 1").answer["value"], "2")

    def test_a_forged_result_is_reduced_to_the_schema(self) -> None:
        code = (
            "import json, os, socket\n"
            "def forge(fd):\n"
            "    error = {'name': [], 'traceback': [{'line': -1}, 7]}\n"
            "    body = json.dumps({'value': 5, 'error': error, 'x': 1}).encode()\n"
            "    os.write(fd, b'\\1' + len(body).to_bytes(4, 'big') + body)\n"
            "for fd in map(int, os.listdir('/proc/self/fd')):\n"
            "    try: is_socket = fd > 2 and os.readlink(f'/proc/self/fd/{fd}').startswith('socket')\n"
            "    except OSError: continue\n"
            "    if is_socket: forge(fd); os._exit(0)\n"
        )
        answer = self.run_code(code).answer
        self.assertIsNone(answer["value"])
        self.assertEqual(answer["error"], {
            "name": "", "message": "", "traceback": [{"file": "", "function": "", "text": "", "line": 0}],
        })  # fmt: skip

    def test_an_oversized_payload_frame_is_a_breach_that_only_costs_the_result(self) -> None:
        code = (
            "import os\n"
            "for fd in map(int, os.listdir('/proc/self/fd')):\n"
            "    try: is_socket = fd > 2 and os.readlink(f'/proc/self/fd/{fd}').startswith('socket')\n"
            "    except OSError: continue\n"
            "    if is_socket: os.write(fd, b'\\2\\xff\\xff\\xff\\xff')\n"
            "os._exit(3)\n"
        )
        answer = self.run_code(code).answer
        self.assertEqual((answer["exit_code"], answer["value"]), (3, None))

    def test_without_settings_for_a_language_a_run_is_unavailable(self) -> None:
        answer = self.run_code("1", language="javascript").answer
        self.assertEqual((answer["op"], answer["code"]), ("failed", "unavailable"))

    def test_a_run_without_code_gives_nothing(self) -> None:
        self.assertIsNone(self.run_code("").answer["value"])

    def test_a_lost_connection_leaves_the_run_to_be_attached_to(self) -> None:
        call = self.begin("import time\nprint('a', flush=True)\ntime.sleep(0.5)\nprint('b')\n5")
        pid = call.wait_event("started")["pid"]
        call.wait_output(b"a")
        call.link.close()
        wait_until(lambda: not self.host.ask("processes")["processes"][0]["running"])
        result = self.host.call("attach", pid=pid).finish()
        self.assertEqual((result.stdout, result.answer["value"]), (b"b\n", "5"))


class PythonContexts(CodeCase):
    def test_globals_live_until_the_context_is_removed(self) -> None:
        first = self.run_code("x = 5", context="note")
        second = self.run_code("print(x)\nx + 1", context="note")
        self.assertEqual((second.stdout, second.answer["value"]), (b"5\n", "6"))
        self.assertEqual(first.event("started")["pid"], second.event("started")["pid"])
        self.assertEqual([(c["name"], c["language"], c["busy"]) for c in self.contexts()], [("note", "python", False)])
        self.assertEqual(self.host.ask("context_remove", context="note"), {"op": "done"})
        self.assertEqual(self.contexts(), [])
        self.assertEqual(self.run_code("x", context="note").answer["exit_code"], 1)

    def test_an_interrupt_ends_the_run_and_keeps_the_globals(self) -> None:
        self.run_code("x = 5", context="note")
        call = self.begin("import time\nprint('on', flush=True)\ntime.sleep(60)", context="note")
        call.wait_output(b"on")
        self.assertEqual(self.host.run("/usr/bin/true").answer["shared"], True)
        self.assertEqual(self.run_code("1", context="note").answer["code"], "busy")
        self.assertEqual(self.host.ask("context_interrupt", context="note"), {"op": "done"})
        answer = call.finish().answer
        self.assertEqual((answer["error"]["name"], answer["exit_code"]), ("KeyboardInterrupt", 1))
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")

    def test_a_deadline_interrupts_first_and_kills_a_context_that_does_not_listen(self) -> None:
        self.run_code("x = 5", context="note")
        answer = self.run_code("import time; time.sleep(60)", context="note", deadline_ms=200).answer
        self.assertEqual((answer["reason"], answer["exit_code"], answer["signal"]), ("deadline", 1, None))
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")
        deaf = "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass"
        answer = self.run_code(deaf, context="note", deadline_ms=200).answer
        self.assertEqual((answer["reason"], answer["signal"]), ("deadline", "KILL"))
        wait_until(lambda: self.contexts() == [])
        self.assertEqual(self.run_code("x", context="note").answer["error"]["name"], "NameError")

    def test_restart_gives_fresh_globals_under_the_same_name(self) -> None:
        self.run_code("x = 5", context="note")
        self.assertEqual(self.host.ask("context_restart", context="note"), {"op": "done"})
        self.assertEqual(self.run_code("x", context="note").answer["error"]["name"], "NameError")
        self.assertEqual([c["name"] for c in self.contexts()], ["note"])

    def test_removing_a_busy_context_ends_its_run(self) -> None:
        call = self.begin("import time\nprint('on', flush=True)\ntime.sleep(60)", context="note")
        call.wait_output(b"on")
        self.assertEqual(self.host.ask("context_remove", context="note"), {"op": "done"})
        self.assertEqual(call.finish().answer["signal"], "KILL")

    def test_a_context_and_what_it_started_survive_other_calls(self) -> None:
        self.run_code("import subprocess\np = subprocess.Popen(['sleep', '100'])\nx = 1", context="note")
        for _ in range(3):
            self.assertEqual(self.host.run("/usr/bin/true").answer["killed"], 0)
        self.assertEqual(self.run_code("(x, p.poll())", context="note").answer["value"], "(1, None)")
        self.host.ask("context_remove", context="note")
        self.assertFalse(self.host.run("/usr/bin/true").answer["shared"])
        self.assertEqual(self.host.shell("ls -d /proc/[0-9]* | wc -l").answer["killed"], 0)

    def test_a_context_of_a_stopped_interpreter_can_be_removed(self) -> None:
        self.run_code("import os, signal; os.kill(os.getppid(), signal.SIGSTOP)", context="note")
        self.assertEqual(self.host.ask("context_remove", context="note"), {"op": "done"})
        self.assertEqual(self.run_code("1", context="note").answer["value"], "1")

    def test_output_between_runs_belongs_to_none(self) -> None:
        self.run_code(
            "import threading, time\nthreading.Timer(0.1, lambda: print('stray', flush=True)).start()", context="note"
        )
        time.sleep(0.3)
        self.assertEqual(self.run_code("print('mine')", context="note").stdout, b"mine\n")

    def test_a_context_that_exits_is_gone(self) -> None:
        answer = self.run_code("import os; os._exit(6)", context="note").answer
        self.assertEqual(answer["exit_code"], 6)
        wait_until(lambda: self.contexts() == [])

    def test_unknown_contexts_and_other_languages_are_refused(self) -> None:
        self.run_code("1", context="note")
        for op in ("context_interrupt", "context_restart", "context_remove"):
            self.assertEqual(self.host.ask(op, context="other")["code"], "not_found")
        self.assertEqual(self.run_code("1", context="note", language="javascript").answer["code"], "invalid")


@unittest.skipUnless(HAS_NODE, "needs Node and its runner")
class JavaScript(CodeCase):
    language = "javascript"
    settings = NODE_SETTINGS

    def test_output_value_and_exit_come_back(self) -> None:
        result = self.run_code("console.log('out'); console.error('err'); 6 * 7")
        self.assertEqual((result.stdout, result.stderr, result.answer["value"]), (b"out\n", b"err\n", "42"))
        self.assertEqual(result.answer["exit_code"], 0)

    def test_the_spare_is_used_up_and_replaced(self) -> None:
        pids = set()
        for _ in range(3):
            pids.add(self.run_code("1").event("started")["pid"])
            time.sleep(0.4)
        self.assertEqual(len(pids), 3)

    def test_a_run_right_after_another_does_not_wait_for_the_spare(self) -> None:
        for _ in range(3):
            self.assertEqual(self.run_code("1 + 1").answer["value"], "2")

    def test_exit_codes_and_errors_are_reported(self) -> None:
        self.assertEqual(self.run_code("process.exit(7)").answer["exit_code"], 7)
        answer = self.run_code("throw new TypeError('no')").answer
        self.assertEqual((answer["exit_code"], answer["error"]["name"]), (1, "TypeError"))

    def test_a_killed_spare_costs_nothing_but_time(self) -> None:
        self.host.shell("kill -9 -1")
        self.assertEqual(self.run_code("1 + 1").answer["value"], "2")

    def test_limits_start_a_process_of_its_own(self) -> None:
        result = self.run_code("1", rlimits={"open_files": 77})
        self.assertEqual(result.answer["value"], "1")

    def test_a_context_keeps_its_globals_and_its_relay(self) -> None:
        first = self.run_code("globalThis.x = 5", context="note")
        second = self.run_code("x + 1", context="note")
        self.assertEqual(second.answer["value"], "6")
        self.assertEqual(first.event("started")["relay_port"], second.event("started")["relay_port"])

    def test_fetch_goes_through_the_relay_of_the_run(self) -> None:
        call = self.begin("console.log((await fetch('http://example.com/')).status)")
        link = self.host.relays.get(timeout=10)
        self.assertEqual(link.call_id, call.id)
        request = b""
        while b"\r\n\r\n" not in request:
            request += link.read_frame()[1]
            if request.startswith(b"CONNECT") and request.endswith(b"\r\n\r\n"):
                link.send(DATA, b"HTTP/1.1 200 OK\r\n\r\n")
                request = b""
        link.send(DATA, b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(call.finish().stdout, b"204\n")


if __name__ == "__main__":
    unittest.main()
