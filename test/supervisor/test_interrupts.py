"""Interrupts of a context: none is lost before its run begins, and none costs a context's variables that could not
react."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import unittest
from pathlib import Path

from code_case import HAS_NODE, HOLD, NODE_SETTINGS, SLOW_NODE, SLOW_PYTHON, CodeCase, copy_supervisor
from host import GUEST_UID, HostCall, wait_until

LONGER_THAN_ANY_PATIENCE = 0.6
"""Within it a supervisor that goes by time has killed the context."""
LATE_LIMIT = {"interpreters/context_run.py": {"KILL_LIMIT_SECONDS = 0.75": "KILL_LIMIT_SECONDS = 10"}}
LATE_KILL = {"processes/process.py": {"KILL_AFTER_SECONDS = 0.25": "KILL_AFTER_SECONDS = 10"}, **LATE_LIMIT}


class InterruptCase(CodeCase):
    interrupt = "KeyboardInterrupt"

    def open_patient_sandbox(self, changes: dict[str, dict[str, str]]) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.open_sandbox(copy_supervisor(Path(folder.name), changes))

    def interrupt_before(self, call: HostCall, release: str) -> None:
        """`release` lets the run begin."""
        order: list[str] = []
        self.let_requests_arrive()
        interrupt = self.host.call("context_interrupt", context="note")
        waiter = threading.Thread(target=lambda: order.append(interrupt.finish().answer["op"]))
        waiter.start()
        self.let_requests_arrive()
        order.append("release")
        getattr(self, release)()
        self.check_interrupted(call)
        waiter.join()
        self.assertEqual(order, ["release", "done"])

    def check_interrupted(self, call: HostCall, reason: str = "exit") -> None:
        answer = call.finish().answer
        self.assertEqual((answer["reason"], answer["exit_code"]), (reason, 1))
        self.assertEqual(answer["error"]["name"], self.interrupt)

    def go(self) -> None:
        self.write("go")

    def stop_context(self) -> None:
        self.host.shell(f"kill -STOP {self.contexts()[0]['pid']}")

    def wake_context(self) -> None:
        self.host.shell(f"kill -CONT {self.contexts()[0]['pid']}")


class Python(InterruptCase):
    def make_pipe(self) -> None:
        """The C library opens a file that TZ names, so this holds a context's session in its construction."""
        os.mkfifo(self.path("zone"))
        if os.getuid() == 0:
            os.chown(self.path("zone"), GUEST_UID, GUEST_UID)

    def open_pipe(self) -> None:
        def has_reader() -> bool:
            try:
                os.close(os.open(self.path("zone"), os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                return False
            return True

        wait_until(has_reader)

    def begin_in_construction(self) -> HostCall:
        self.make_pipe()
        call = self.begin("import time\ntime.sleep(60)", context="note", env={"TZ": ":/workspace/zone"})
        call.wait_event("started")
        return call

    def test_before_there_is_a_process(self) -> None:
        self.host.init(python={"argv": SLOW_PYTHON, "preload": [], "warm": False})
        self.interrupt_before(self.begin("import time\ntime.sleep(60)", context="note"), "go")

    def test_while_the_session_is_constructed(self) -> None:
        self.interrupt_before(self.begin_in_construction(), "open_pipe")

    def test_between_the_request_and_the_run(self) -> None:
        self.run_code("x = 5", context="note")
        self.stop_context()
        call = self.begin("import time\ntime.sleep(60)", context="note")
        call.wait_event("started")
        self.interrupt_before(call, "wake_context")
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")

    def test_a_signal_that_the_caller_sends(self) -> None:
        call = self.begin_in_construction()
        call.control(op="signal", signal="INT")
        self.let_requests_arrive()
        self.open_pipe()
        self.check_interrupted(call)

    def test_a_run_that_never_begins_takes_its_interrupts_along(self) -> None:
        self.host.init(python={"argv": SLOW_PYTHON, "preload": [], "warm": False})
        call = self.begin("1", context="note")
        self.let_requests_arrive()
        interrupt = self.host.call("context_interrupt", context="note")
        self.let_requests_arrive()
        call.control(op="cancel")
        self.assertEqual(call.finish().answer["reason"], "cancel")
        self.assertEqual(interrupt.finish().answer, {"op": "done"})

    def test_a_context_that_runs_nothing_has_nothing_to_interrupt(self) -> None:
        self.run_code("x = 5", context="note")
        self.assertEqual(self.host.ask("context_interrupt", context="note"), {"op": "done"})
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")

    def test_a_cancel_while_the_session_is_constructed(self) -> None:
        self.open_patient_sandbox(LATE_KILL)
        call = self.begin_in_construction()
        pid = self.contexts()[0]["pid"]
        call.control(op="cancel")
        self.let_requests_arrive()
        self.open_pipe()
        self.check_interrupted(call, "cancel")
        self.assertEqual([context["pid"] for context in self.contexts()], [pid])

    def cancel_hindered(self) -> HostCall:
        """A cancelled run that is kept from running until `held` is gone."""
        self.write("hold.py", HOLD)
        self.write("held")
        self.run_code("x = 5", context="note")
        call = self.begin("import hold\nhold.hold()\nwhile True: pass", context="note")
        self.wait_for("holds")
        call.control(op="cancel")
        self.let_requests_arrive()
        return call

    def test_a_cancel_waits_for_a_context_that_is_kept_from_running(self) -> None:
        self.open_patient_sandbox(LATE_LIMIT)
        call = self.cancel_hindered()
        time.sleep(LONGER_THAN_ANY_PATIENCE)
        self.path("held").unlink()
        self.check_interrupted(call, "cancel")
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")

    def test_a_context_that_is_kept_from_running_too_long_is_killed(self) -> None:
        answer = self.cancel_hindered().finish().answer
        self.assertEqual((answer["reason"], answer["signal"], answer["survivors"]), ("cancel", "KILL", 0))
        self.assertEqual(self.run_code("x", context="note").answer["error"]["name"], "NameError")


@unittest.skipUnless(HAS_NODE, "needs Node and its runner")
class JavaScript(InterruptCase):
    language = "javascript"
    interrupt = "Interrupt"
    settings = NODE_SETTINGS

    def check_before_node_runs(self, code: str) -> None:
        self.host.init(javascript={"argv": SLOW_NODE, "warm": False})
        call = self.begin(code, context="note")
        call.wait_event("started")
        self.interrupt_before(call, "go")

    def test_before_node_runs_a_loop(self) -> None:
        self.check_before_node_runs("while (true) {}")

    def test_before_node_runs_what_waits(self) -> None:
        self.check_before_node_runs("await new Promise(() => {})")

    def test_before_node_runs_a_module(self) -> None:
        self.check_before_node_runs("export const never = await new Promise(() => {})")

    def test_between_the_request_and_the_run(self) -> None:
        self.run_code("let x = 5", context="note")
        self.stop_context()
        call = self.begin("while (true) {}", context="note")
        call.wait_event("started")
        self.interrupt_before(call, "wake_context")
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")

    def test_an_interrupt_that_node_loses_is_sent_again(self) -> None:
        self.run_code("let x = 5", context="note")
        swallow = (
            "await new Promise((resolve) => setTimeout(resolve, 1));\n"
            "const listeners = process.listeners('SIGINT'); process.removeAllListeners('SIGINT');\n"
            "process.once('SIGINT', () => listeners.forEach((listener) => process.on('SIGINT', listener)));\n"
            "console.log('on'); await new Promise(() => {})"
        )
        call = self.begin(swallow, context="note")
        call.wait_output(b"on")
        self.assertEqual(self.host.ask("context_interrupt", context="note"), {"op": "done"})
        self.check_interrupted(call)
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")

    def test_a_signal_that_comes_after_an_interrupted_run_does_not_reach_the_next_one(self) -> None:
        by_itself = (
            "await new Promise((resolve) => setTimeout(resolve, 1));\n"
            "const listeners = process.listeners('SIGINT'); process.removeAllListeners('SIGINT');\n"
            "const end = new Promise((resolve) => process.once('SIGINT', resolve));\n"
            "listeners.forEach((listener) => end.then(() => process.on('SIGINT', listener)));\n"
            "console.log('on'); await end; 1"
        )
        self.open_patient_sandbox(
            {"interpreters/context_run.py": {"INTERRUPT_AGAIN_SECONDS = 0.1": "INTERRUPT_AGAIN_SECONDS = 10"}}
        )
        call = self.begin(by_itself, context="note")
        call.wait_output(b"on")
        self.host.ask("context_interrupt", context="note")
        self.assertEqual(call.finish().answer["value"], "1")
        self.stop_context()
        self.host.shell(f"kill -INT {self.contexts()[0]['pid']}")
        call = self.begin("export default await new Promise((resolve) => setTimeout(resolve, 100, 2))", context="note")
        call.wait_event("started")
        self.wake_context()
        self.assertEqual(call.finish().answer["value"], "2")

    def test_code_that_listens_to_interrupts_itself_is_interrupted_too(self) -> None:
        self.run_code("let x = 5", context="note")
        code = "process.on('SIGINT', () => console.log('heard')); console.log('on'); await new Promise(() => {})"
        call = self.begin(code, context="note")
        call.wait_output(b"on")
        self.assertEqual(self.host.ask("context_interrupt", context="note"), {"op": "done"})
        self.check_interrupted(call)
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")

    def test_a_cancel_before_node_runs_keeps_the_context(self) -> None:
        self.open_patient_sandbox(LATE_KILL)
        self.run_code("let x = 5", context="note")
        self.stop_context()
        call = self.begin("while (true) {}", context="note")
        call.wait_event("started")
        call.control(op="cancel")
        self.let_requests_arrive()
        self.wake_context()
        self.check_interrupted(call, "cancel")
        self.assertEqual(self.run_code("x", context="note").answer["value"], "5")


if __name__ == "__main__":
    unittest.main()
