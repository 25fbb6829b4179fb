"""Interrupts of a context: none is lost before its run begins."""

from __future__ import annotations

import os
import threading
import unittest

from code_case import HAS_NODE, NODE_BINDING, NODE_SETTINGS, SLOW_NODE, SLOW_PYTHON, CodeCase
from host import GUEST_UID, HostCall, wait_until


class InterruptCase(CodeCase):
    interrupt = "KeyboardInterrupt"

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


@unittest.skipUnless(HAS_NODE, "needs Node and its runner")
class JavaScript(InterruptCase):
    language = "javascript"
    interrupt = "Interrupt"
    settings = NODE_SETTINGS
    bindings = NODE_BINDING

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


if __name__ == "__main__":
    unittest.main()
