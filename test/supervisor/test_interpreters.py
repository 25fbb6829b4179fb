"""The warm interpreter: who waits for it, and what is lost with it. Tests hold its start, or hold it before a fork."""

from __future__ import annotations

import time
import unittest
from typing import Any

from code_case import HOLD, SLOW_PYTHON, CodeCase
from host import PYTHON, HostCall, wait_until

PARENT = "import os; os.getppid()"
FORKING = {
    "python": {"argv": [PYTHON], "preload": ["forking"], "warm": False},
    "env": {"LANG": "C.UTF-8", "PYTHONPATH": "/workspace"},
}
"""The module lies in the workspace."""
STICKING = """
import os, time

def before():
    if os.path.exists("/workspace/stick"):
        os.unlink("/workspace/stick")
        {how}

os.register_at_fork(before=before)
"""
LONGER_THAN_ANY_PATIENCE = 0.7
"""Within it a supervisor that goes by time has given up an interpreter."""


class SlowStart(CodeCase):
    settings = {"python": {"argv": SLOW_PYTHON, "preload": [], "warm": False}}

    def starts(self) -> list[str]:
        """Pids."""
        path = self.path("starts")
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_start(self, number: int) -> str:
        wait_until(lambda: len(self.starts()) == number)
        return self.starts()[-1]

    def test_a_run_that_is_over_before_it_has_a_process_leaves_the_start_to_the_others(self) -> None:
        other = self.begin("print('fine')")
        cancelled = self.begin("1")
        self.assertEqual(self.run_code("1", deadline_ms=50).answer["reason"], "deadline")
        cancelled.control(op="cancel")
        answer = cancelled.finish().answer
        self.assertEqual((answer["reason"], answer["exit_code"], answer["signal"]), ("cancel", None, None))
        self.write("go")
        result = other.finish()
        self.assertEqual((result.answer["reason"], result.stdout, len(self.starts())), ("exit", b"fine\n", 1))

    def test_a_start_that_takes_longer_than_every_deadline_succeeds(self) -> None:
        for _ in range(3):
            self.assertEqual(self.run_code("1", deadline_ms=50).answer["reason"], "deadline")
        self.write("go")
        self.assertEqual((self.run_code("2").answer["value"], len(self.starts())), ("2", 1))

    def test_a_context_outlives_a_run_that_is_over_before_it_has_a_process(self) -> None:
        self.assertEqual(self.run_code("1", context="note", deadline_ms=50).answer["reason"], "deadline")
        self.assertEqual([(c["name"], c["pid"], c["busy"]) for c in self.contexts()], [("note", 0, False)])
        call = self.begin("2", context="note")
        self.write("go")
        self.assertEqual((call.finish().answer["value"], len(self.starts())), ("2", 1))

    def test_a_context_without_a_process_is_removed_and_restarted_at_once(self) -> None:
        call = self.begin("1", context="note")
        self.let_requests_arrive()
        self.assertEqual(self.host.ask("context_restart", context="note"), {"op": "done"})
        self.assertEqual(call.finish().answer["signal"], "KILL")
        self.assertEqual(self.host.ask("context_remove", context="note"), {"op": "done"})
        self.assertEqual(self.contexts(), [])
        self.write("go")
        self.assertEqual((self.run_code("2", context="note").answer["value"], len(self.starts())), ("2", 1))

    def test_a_start_that_is_killed_or_stopped_is_replaced_for_who_waits(self) -> None:
        calls = [self.begin("1 + 1"), self.begin("2 + 2", context="note")]
        self.host.shell(f"kill -KILL {self.wait_for_start(1)}")
        self.host.shell(f"kill -STOP {self.wait_for_start(2)}")
        self.wait_for_start(3)
        self.write("go")
        self.assertEqual([call.finish().answer["value"] for call in calls], ["2", "4"])

    def test_new_settings_leave_no_run_behind(self) -> None:
        call = self.begin("1 + 1")
        self.let_requests_arrive()
        self.host.init(python={"argv": [PYTHON], "preload": [], "warm": False})
        self.assertEqual(call.finish().answer["value"], "2")

    def test_a_run_is_lost_when_no_interpreter_starts(self) -> None:
        self.host.init(python={"argv": ["/bin/false"], "preload": [], "warm": False})
        answer = self.run_code("1").answer
        self.assertEqual((answer["reason"], answer["exit_code"]), ("lost", None))
        self.assertEqual(self.run_code("1", context="note").answer["reason"], "lost")
        self.assertEqual(self.contexts(), [])


class AtAFork(CodeCase):
    """The interpreter works, and is kept from running before it forks: as on a busy machine, for as long as a test
    wants."""

    settings = FORKING

    def setUp(self) -> None:
        super().setUp()
        self.write("forking.py", f"{HOLD}\nos.register_at_fork(before=hold)\n")
        self.interpreter = self.run_code(PARENT).answer["value"]

    def begin_held(self, code: str, **changes: Any) -> HostCall:
        self.write("held")
        call = self.begin(code, **changes)
        self.wait_for("holds")
        self.path("holds").unlink()
        return call

    def release(self) -> None:
        self.path("held").unlink()

    def test_a_run_killed_meanwhile_waits_for_its_end_to_be_reported(self) -> None:
        victim = self.begin("import time; time.sleep(60)")
        victim.wait_event("started")
        other = self.begin_held(PARENT)
        victim.control(op="cancel")
        time.sleep(LONGER_THAN_ANY_PATIENCE)
        self.release()
        self.assertEqual(victim.finish().answer["reason"], "cancel")
        self.assertEqual(other.finish().answer["value"], self.interpreter)

    def test_a_context_removed_meanwhile_waits_for_its_end_to_be_reported(self) -> None:
        self.run_code("1", context="note")
        other = self.begin_held(PARENT)
        removal = self.host.call("context_remove", context="note")
        time.sleep(LONGER_THAN_ANY_PATIENCE)
        self.release()
        self.assertEqual(removal.finish().answer, {"op": "done"})
        self.assertEqual(other.finish().answer["value"], self.interpreter)

    def test_a_child_that_comes_after_its_run_is_over_is_ended(self) -> None:
        call = self.begin_held("1", deadline_ms=50)
        self.assertEqual(call.finish().answer["reason"], "deadline")
        self.release()
        answer = self.run_code(PARENT).answer
        self.assertEqual((answer["value"], answer["killed"], answer["shared"]), (self.interpreter, 0, False))
        known = f"{{'{self.interpreter}', str(os.getpid())}}"
        own = f"import os\nset(os.listdir('/proc')) & set(map(str, range(2, 10**6))) - {known}"
        wait_until(lambda: self.run_code(own).answer["value"] == "set()")

    def test_who_waits_for_a_killed_interpreter_gets_the_next_one(self) -> None:
        calls = [self.begin_held(PARENT), self.begin("1 + 1"), self.begin("2 + 2", context="note")]
        self.let_requests_arrive()
        self.host.shell(f"kill -KILL {self.interpreter}")
        self.release()
        values = [call.finish().answer["value"] for call in calls]
        self.assertNotEqual(values[0], self.interpreter)
        self.assertEqual(values[1:], ["2", "4"])

    def test_who_waits_for_a_stopped_interpreter_gets_the_next_one(self) -> None:
        self.host.shell(f"kill -STOP {self.interpreter}")
        calls = [self.begin(PARENT), self.begin("1 + 1", context="note")]
        self.assertNotEqual(calls[0].finish().answer["value"], self.interpreter)
        self.assertEqual(calls[1].finish().answer["value"], "2")

    def test_a_run_that_ends_beside_a_stopped_interpreter_is_answered(self) -> None:
        call = self.begin("import os, time\nwhile not os.path.exists('/workspace/end'): time.sleep(0.01)\n7")
        call.wait_event("started")
        self.host.shell(f"kill -STOP {self.interpreter}")
        self.write("end")
        answer = call.finish().answer
        self.assertEqual((answer["reason"], answer["exit_code"], answer["value"]), ("exit", 0, "7"))


class Stuck(CodeCase):
    """An interpreter that never answers is replaced, whether it computes or sleeps. The next one finds no `stick`."""

    settings = FORKING

    def check(self, how: str) -> None:
        self.write("forking.py", STICKING.format(how=how))
        first = self.run_code(PARENT).answer["value"]
        self.write("stick")
        self.assertNotEqual(self.run_code(PARENT).answer["value"], first)

    def test_one_that_computes_for_ever(self) -> None:
        self.check("while True: pass")

    def test_one_that_sleeps_for_ever(self) -> None:
        self.check("time.sleep(3600)")


if __name__ == "__main__":
    unittest.main()
