"""Fresh runs: value, output, failures, exit codes, and what the process of a run sees of its surroundings."""

from __future__ import annotations

import json
import os
import signal
import unittest

from harness import WarmClient, WarmTestCase


class ValueTest(WarmTestCase):
    def test_the_value_is_the_repr_of_the_last_expression(self) -> None:
        outcome = self.run_code("x = 20\nx + 1")
        self.assertEqual(outcome.result, {"value": "21", "error": None, "truncated": False, "exit_code": 0})
        self.assertEqual((outcome.exit_code, outcome.stdout, outcome.stderr), (0, b"", b""))

    def test_none_and_statements_have_no_value(self) -> None:
        self.assertIsNone(self.run_code("print('a')").result["value"])
        self.assertIsNone(self.run_code("x = 1").result["value"])
        self.assertIsNone(self.run_code("").result["value"])

    def test_output_is_utf8_and_both_streams_stay_apart(self) -> None:
        outcome = self.run_code("import sys\nprint('grüße \\ud800')\nprint('warn \\ud800', file=sys.stderr)")
        self.assertEqual(outcome.stdout.decode(), "grüße ?\n")
        self.assertEqual(outcome.stderr, b"warn \\ud800\n")

    def test_stdin_can_be_read(self) -> None:
        self.assertEqual(self.run_code("input() + input()", stdin="é\nb\n".encode()).result["value"], "'éb'")

    def test_top_level_await_works_and_keeps_the_value(self) -> None:
        outcome = self.run_code("import asyncio\nx = await asyncio.sleep(0.001, 5)\nx + await asyncio.sleep(0, 1)")
        self.assertEqual(outcome.result["value"], "6")

    def test_future_imports_reach_the_last_expression(self) -> None:
        code = "from __future__ import annotations\n(lambda: 0).__code__.co_flags & 0x1000000 != 0"
        self.assertEqual(self.run_code(code).result["value"], "True")

    def test_a_result_never_exceeds_60_kib_and_says_that_it_was_cut(self) -> None:
        for code in ("'é' * 10**6", "list(range(10**6))", "'\\x00' * 70000", "'\U0001f600' * 30000"):
            outcome = self.run_code(code)
            self.assertTrue(outcome.result["truncated"], code)
            self.assertLessEqual(outcome.result_bytes, 60 << 10)
            self.assertGreater(outcome.result_bytes, 20 << 10)

    def test_a_repr_that_raises_does_not_fail_the_run(self) -> None:
        outcome = self.run_code("class A:\n    def __repr__(self): raise ValueError()\nA()")
        self.assertEqual(outcome.result["value"], "<A object, whose repr raised ValueError>")
        self.assertEqual(outcome.exit_code, 0)


class FailureTest(WarmTestCase):
    def test_an_uncaught_exception_is_text_and_structure_without_runner_frames(self) -> None:
        outcome = self.run_code("def f(n):\n    return 1 / n\n\nf(0)\n", file="main.py")
        frames = [
            {"file": "main.py", "line": 4, "function": "<module>", "text": "f(0)"},
            {"file": "main.py", "line": 2, "function": "f", "text": "return 1 / n"},
        ]
        error = {"name": "ZeroDivisionError", "message": "division by zero", "traceback": frames}
        self.assertEqual(outcome.result["error"], error)
        self.assertEqual(outcome.exit_code, 1)
        lines = outcome.stderr.decode().splitlines()
        self.assertEqual(
            lines[:3], ["Traceback (most recent call last):", '  File "main.py", line 4, in <module>', "    f(0)"]
        )
        self.assertEqual(lines[-1], "ZeroDivisionError: division by zero")
        self.assertNotIn("runners", outcome.stderr.decode())

    def test_an_exception_below_await_has_no_event_loop_frames(self) -> None:
        outcome = self.run_code("import asyncio\nasync def f():\n    raise KeyError('k')\nawait f()")
        self.assertEqual([frame["function"] for frame in outcome.result["error"]["traceback"]], ["<module>", "f"])
        self.assertNotIn("asyncio/", outcome.stderr.decode())

    def test_a_chained_exception_shows_both_and_no_runner_frames(self) -> None:
        outcome = self.run_code("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('v') from e")
        self.assertIn("direct cause", outcome.stderr.decode())
        self.assertNotIn("runners", outcome.stderr.decode())

    def test_a_syntax_error_names_its_line(self) -> None:
        outcome = self.run_code("x = 1\ndef f(:\n  pass")
        error = outcome.result["error"]
        self.assertEqual((error["name"], outcome.exit_code), ("SyntaxError", 1))
        self.assertEqual(
            error["traceback"], [{"file": "main.py", "line": 2, "function": "<module>", "text": "def f(:"}]
        )
        self.assertTrue(outcome.stderr.decode().startswith('  File "main.py", line 2\n    def f(:\n'))

    def test_code_that_cannot_be_text_is_a_syntax_error(self) -> None:
        self.assertEqual(self.run_code(b"x = '\xff'").result["error"]["name"], "SyntaxError")
        self.assertIn(self.run_code("x = '\0'").result["error"]["name"], ("SyntaxError", "ValueError"))

    def test_deep_recursion_keeps_the_innermost_50_frames(self) -> None:
        outcome = self.run_code("def f(n):\n    if n == 0: raise RuntimeError('deep')\n    f(n - 1)\nf(200)")
        frames = outcome.result["error"]["traceback"]
        self.assertEqual((len(frames), frames[-1]["line"], outcome.result["truncated"]), (50, 2, True))

    def test_a_huge_message_is_cut(self) -> None:
        outcome = self.run_code("raise ValueError('x' * 10**6)")
        self.assertLessEqual(outcome.result_bytes, 60 << 10)
        self.assertTrue(outcome.result["truncated"])

    def test_a_user_excepthook_is_called_instead_of_the_traceback(self) -> None:
        outcome = self.run_code("import sys\nsys.excepthook = lambda t, v, tb: print('mine', t.__name__)\n1/0")
        self.assertEqual((outcome.stdout, outcome.stderr, outcome.exit_code), (b"mine ZeroDivisionError\n", b"", 1))

    def test_sys_exit_gives_the_codes_that_python_gives(self) -> None:
        for code, expected, stderr in (
            ("sys.exit()", 0, b""),
            ("sys.exit(7)", 7, b""),
            ("sys.exit(-1)", 255, b""),
            ("sys.exit('stop')", 1, b"stop\n"),
        ):
            outcome = self.run_code(f"import sys\n{code}")
            self.assertEqual((outcome.exit_code, outcome.stderr), (expected, stderr), code)
            self.assertEqual((outcome.result["error"], outcome.result["exit_code"]), (None, expected))

    def test_an_interrupt_ends_a_fresh_run_as_it_ends_python(self) -> None:
        run = self.client.start(self.cwd)
        run.send("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)")
        outcome = run.finish()
        self.assertEqual(outcome.exit_code, -signal.SIGINT)
        self.assertEqual(outcome.result["error"]["name"], "KeyboardInterrupt")


class EndingTest(WarmTestCase):
    def test_exit_handlers_and_threads_finish_and_open_files_are_written(self) -> None:
        code = """
import atexit, threading, time
class Keeper:
    pass
keeper = Keeper()
keeper.me = keeper
keeper.file = open("kept.txt", "w"); keeper.file.write("kept")
plain = open("plain.txt", "w"); plain.write("plain")
atexit.register(lambda: print("exit handler"))
def work():
    time.sleep(0.05)
    print("thread")
threading.Thread(target=work).start()
print("main")
"""
        outcome = self.run_code(code)
        self.assertEqual(outcome.stdout, b"main\nthread\nexit handler\n")
        for name in ("kept", "plain"):
            with open(os.path.join(self.cwd, f"{name}.txt")) as file:
                self.assertEqual(file.read(), name)

    def test_an_exit_code_survives_a_running_thread(self) -> None:
        outcome = self.run_code(
            "import threading, time, sys\nthreading.Thread(target=time.sleep, args=(.02,)).start()\nsys.exit(3)"
        )
        self.assertEqual(outcome.exit_code, 3)

    def test_a_forked_copy_does_not_answer_for_its_parent(self) -> None:
        outcome = self.run_code("import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\npid > 0")
        self.assertEqual(outcome.result["value"], "True")

    def test_a_killed_run_is_reported_with_its_signal_and_usage(self) -> None:
        outcome = self.run_code("import os\nsum(range(10**6))\nos.kill(os.getpid(), 9)")
        self.assertEqual((outcome.exit_code, outcome.result), (-9, None))
        self.assertGreater(outcome.usage["user_us"] + outcome.usage["system_us"], 0)
        self.assertGreater(outcome.usage["max_rss_bytes"], 1 << 20)


class SurroundingsTest(WarmTestCase):
    def test_only_0_to_2_and_the_payload_are_open(self) -> None:
        code = (
            "import os\n[fd for fd in map(int, os.listdir('/proc/self/fd')) if os.path.exists(f'/proc/self/fd/{fd}')]"
        )
        self.assertEqual(json.loads(self.run_code(code).result["value"]), [0, 1, 2, 64])

    def test_a_program_that_the_code_starts_has_only_0_to_2(self) -> None:
        outcome = self.run_code("import os\nos.system('ls /proc/$$/fd')")
        self.assertEqual(outcome.stdout.split(), [b"0", b"1", b"2"])

    def test_the_run_leads_a_session_of_its_own_in_the_given_folder(self) -> None:
        code = "import os, sys\n(os.getsid(0) == os.getpid(), os.getcwd(), sys.path[0], sys.argv, __name__, __file__)"
        expected = (True, self.cwd, self.cwd, ["main.py"], "__main__", "main.py")
        self.assertEqual(self.run_code(code).result["value"], repr(expected))

    def test_the_environment_is_exactly_the_one_given(self) -> None:
        outcome = self.run_code("import os\ndict(os.environ) | {'MPLBACKEND': ''}", env={"A": "1", "TZ": "UTC"})
        self.assertEqual(outcome.result["value"], repr({"A": "1", "TZ": "UTC", "MPLBACKEND": ""}))

    def test_modules_beside_the_code_and_on_pythonpath_can_be_imported(self) -> None:
        os.mkdir(os.path.join(self.cwd, "lib"))
        for name in ("rich.py", "payload.py", os.path.join("lib", "deep.py")):
            with open(os.path.join(self.cwd, name), "w") as file:
                file.write(f"name = {name!r}\n")
        code = "import rich, payload, deep\n(rich.name, payload.name, deep.name)"
        outcome = self.run_code(code, env={"PYTHONPATH": os.path.join(self.cwd, "lib")})
        self.assertEqual(outcome.result["value"], "('rich.py', 'payload.py', 'lib/deep.py')")

    def test_limits_hold(self) -> None:
        outcome = self.run_code("while True: pass", rlimits={"cpu_seconds": 1})
        self.assertEqual(outcome.exit_code, -signal.SIGXCPU)
        outcome = self.run_code("with open('f', 'wb') as f: f.write(b'x' * 2000)", rlimits={"file_bytes": 1000})
        self.assertEqual(outcome.result["error"]["name"], "OSError")
        outcome = self.run_code("x = bytearray(1 << 30)", rlimits={"address_bytes": 512 << 20, "open_files": 32})
        self.assertEqual(outcome.result["error"]["name"], "MemoryError")
        code = "import resource\nresource.getrlimit(resource.RLIMIT_NOFILE)"
        self.assertEqual(self.run_code(code, rlimits={"open_files": 32}).result["value"], "(32, 32)")

    def test_runs_share_neither_globals_nor_random_numbers(self) -> None:
        code = "import random, uuid\nassert 'seen' not in globals()\nseen = 1\n(random.random(), uuid.uuid4())"
        self.assertEqual(len({self.run_code(code).result["value"] for _ in range(3)}), 3)

    def test_objects_of_main_can_be_pickled(self) -> None:
        code = "import pickle, dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\n"
        code += "pickle.loads(pickle.dumps(P(1))) == P(1)"
        self.assertEqual(self.run_code(code).result["value"], "True")

    def test_multiprocessing_works_with_fork_and_with_spawn(self) -> None:
        code = """
import multiprocessing, sys
def double(x):
    return 2 * x
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[0][:5]).Pool(2) as pool:
        print(pool.map(double, [1, 2, 3]))
"""
        for method in ("fork_", "spawn"):
            outcome = self.run_code(
                code.replace("sys.argv[0][:5]", repr(method.strip("_"))), env={"PATH": "/usr/bin:/bin"}
            )
            self.assertEqual((outcome.stdout, outcome.exit_code), (b"[2, 4, 6]\n", 0), outcome.stderr.decode())


class WarmProcessTest(unittest.TestCase):
    def test_a_module_that_cannot_be_preloaded_is_reported_by_name(self) -> None:
        client = WarmClient(["json", "no_such_module_here"])
        self.addCleanup(client.close)
        self.assertTrue(client.ready["ready"])
        self.assertEqual([failure["name"] for failure in client.ready["failed"]], ["no_such_module_here"])

    def test_it_has_one_thread_and_cannot_be_read_by_the_runs(self) -> None:
        client = WarmClient(["json"], is_unprivileged=True)
        self.addCleanup(client.close)
        self.assertEqual(client.ready["threads"], 1)
        for name in ("mem", "environ", "fd"):
            outcome = client.run(f"import os\nopen(f'/proc/{{os.getppid()}}/{name}')")
            self.assertEqual(outcome.result["error"]["name"], "PermissionError", name)
        self.assertIsNone(client.run("open('/proc/self/environ').close()").result["error"])
        outcome = client.run("import sys\nsys.path")
        self.assertNotIn("runners", outcome.result["value"])
        self.assertNotIn("''", outcome.result["value"])

    def test_runs_overlap_and_each_end_is_reported_once(self) -> None:
        client = WarmClient(["json"])
        self.addCleanup(client.close)
        slow, quick = client.start("/tmp"), client.start("/tmp")
        slow.send("input()")
        quick.send("2")
        self.assertEqual(quick.finish().result["value"], "2")
        slow.finish()

    def test_a_run_without_descriptors_is_refused_and_the_next_one_works(self) -> None:
        client = WarmClient(["json"])
        self.addCleanup(client.close)
        client.socket.send(json.dumps({"id": 9, "cwd": "/tmp", "rlimits": {}, "context": False}).encode())
        self.assertEqual(client.receive(), {"id": 9, "error": "a run needs exactly four descriptors"})
        self.assertEqual(client.run("3").result["value"], "3")

    def test_it_ends_when_its_socket_closes(self) -> None:
        client = WarmClient(["json"])
        client.socket.close()
        self.assertEqual(client.process.wait(10), 0)


if __name__ == "__main__":
    unittest.main()
