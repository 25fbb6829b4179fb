"""Rich outputs, and contexts that keep their state between runs."""

from __future__ import annotations

import base64
import os
import signal
import unittest

from harness import WarmTestCase

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 8


class RichTest(WarmTestCase):
    def test_every_repr_method_becomes_its_mime_type(self) -> None:
        code = f"""
import base64
class Rich:
    def __repr__(self): return "text"
    def _repr_html_(self): return "<b>é</b>"
    def _repr_png_(self): return {base64.b64encode(PNG).decode()!r}
    def _repr_jpeg_(self): return b"jpeg"
    def _repr_svg_(self): return "<svg/>"
    def _repr_markdown_(self): return "# m", {{"metadata": 1}}
    def _repr_latex_(self): raise ValueError()
    def _repr_json_(self): return {{"a": 1}}
Rich()
"""
        outcome = self.run_code(code)
        self.assertEqual(outcome.result["value"], "text")
        self.assertEqual(
            outcome.rich,
            [
                ("text/html", "<b>é</b>".encode()),
                ("image/png", PNG),
                ("image/jpeg", b"jpeg"),
                ("image/svg+xml", b"<svg/>"),
                ("text/markdown", b"# m"),
                ("application/json", b'{"a": 1}'),
            ],
        )

    def test_a_mime_bundle_wins_over_the_single_methods(self) -> None:
        code = """
class Rich:
    def _repr_mimebundle_(self, include=None, exclude=None): return {"text/plain": "t", "text/html": "bundle"}
    def _repr_html_(self): return "single"
Rich()
"""
        self.assertEqual(self.run_code(code).rich, [("text/html", b"bundle")])

    def test_classes_and_catch_all_objects_have_no_rich_form(self) -> None:
        code = """
class Html:
    def _repr_html_(self): return "html"
class Any:
    def __getattr__(self, name): return lambda *args: "anything"
display(Any())
Html
"""
        outcome = self.run_code(code)
        self.assertEqual([mime for mime, _data in outcome.rich], ["text/plain"])

    def test_display_sends_at_once_and_text_where_there_is_nothing_richer(self) -> None:
        outcome = self.run_code("class H:\n    def _repr_html_(self): return 'h'\ndisplay(H(), [1])\n1/0")
        self.assertEqual(outcome.rich, [("text/html", b"h"), ("text/plain", b"[1]")])

    def test_more_than_16_mib_is_left_out_and_marked(self) -> None:
        code = "class H:\n    def _repr_html_(self): return 'x' * (9 << 20)\ndisplay(H())\ndisplay(H())\n1"
        outcome = self.run_code(code)
        self.assertEqual(([len(data) for _mime, data in outcome.rich], outcome.result["truncated"]), ([9 << 20], True))

    def test_pyplot_figures_are_sent_by_show_and_at_the_end(self) -> None:
        """A stand-in for matplotlib: it is tested with the real one where the template is built."""
        os.mkdir(os.path.join(self.cwd, "matplotlib"))
        with open(os.path.join(self.cwd, "matplotlib", "__init__.py"), "w"):
            pass
        with open(os.path.join(self.cwd, "matplotlib", "pyplot.py"), "w") as file:
            file.write("""
open_figures = {}
class Figure:
    def __init__(self, name): self.name = name
    def savefig(self, target, format, bbox_inches): target.write(self.name)
def get_fignums(): return list(open_figures)
def figure(number): return open_figures[number]
def close(figure): [open_figures.pop(n) for n, f in list(open_figures.items()) if f is figure]
def show(): raise AssertionError("not replaced")
""")
        code = """
import matplotlib.pyplot as plt
plt.open_figures[1] = plt.Figure(b"one"); plt.show()
display("between")
plt.open_figures[2] = plt.Figure(b"two")
"""
        outcome = self.run_code(code)
        self.assertEqual(outcome.rich, [("image/png", b"one"), ("text/plain", b"'between'"), ("image/png", b"two")])


class ContextTest(WarmTestCase):
    def test_globals_persist_and_underscore_is_the_last_value(self) -> None:
        context = self.open_context()
        self.assertIsNone(context.ask("x = 20").result["value"])
        self.assertEqual(context.ask("x + 1").result["value"], "21")
        self.assertEqual(context.ask("print('out')\n_ * 2").result["value"], "42")
        self.assertEqual(context.outcome.stdout, b"out\n")

    def test_a_failure_or_sys_exit_leaves_the_context_alive(self) -> None:
        context = self.open_context()
        failed = context.ask("x = 1\n1/0")
        self.assertEqual((failed.result["error"]["name"], failed.result["exit_code"]), ("ZeroDivisionError", 1))
        self.assertTrue(failed.stderr.endswith(b"ZeroDivisionError: division by zero\n"))
        self.assertEqual(context.ask("import sys\nsys.exit(3)").result["exit_code"], 3)
        self.assertEqual(context.ask("x").result["value"], "1")

    def test_an_interrupt_ends_the_run_and_keeps_the_state(self) -> None:
        context = self.open_context()
        context.send("x = 5\nopen('started', 'w').close()\nprint('started')\nwhile True: pass")
        self.assertEqual(os.read(context.stdout, 100), b"started\n")
        os.kill(context.pid, signal.SIGINT)
        self.assertEqual(context.read_result().result["error"]["name"], "KeyboardInterrupt")
        self.assertEqual(context.ask("x").result["value"], "5")

    def test_an_interrupt_reaches_code_that_awaits(self) -> None:
        context = self.open_context()
        context.send("import asyncio\nprint('started')\nawait asyncio.sleep(60)")
        self.assertEqual(os.read(context.stdout, 100), b"started\n")
        os.kill(context.pid, signal.SIGINT)
        self.assertEqual(context.read_result().result["error"]["name"], "KeyboardInterrupt")
        self.assertEqual(context.ask("await asyncio.sleep(0, 7)").result["value"], "7")

    def test_interrupts_between_two_runs_change_nothing(self) -> None:
        context = self.open_context()
        context.ask("1")
        for _ in range(5):
            os.kill(context.pid, signal.SIGINT)
        self.assertEqual(context.ask("2").result["value"], "2")

    def test_environment_and_folder_follow_the_request_and_keep_what_the_code_set(self) -> None:
        context = self.open_context()
        sub = os.path.join(self.cwd, "sub")
        os.mkdir(sub)
        context.ask("import os\nos.environ['MINE'] = '1'\nos.chdir('sub')", env={"A": "1", "B": "1"})
        read = "[os.environ.get(n) for n in ('MINE', 'A', 'B')] + [os.path.basename(os.getcwd())]"
        self.assertEqual(context.ask(read, env={"A": "2"}).result["value"], "['1', '2', None, 'sub']")
        self.assertEqual(context.ask("os.getcwd()", cwd="/").result["value"], "'/'")

    def test_a_function_of_an_earlier_run_shows_its_own_lines(self) -> None:
        context = self.open_context()
        context.ask("def f():\n    return 1 / 0  # here")
        frames = context.ask("y = 1\nf()").result["error"]["traceback"]
        self.assertEqual(
            [(frame["file"], frame["text"]) for frame in frames],
            [("main.py#2", "f()"), ("main.py", "return 1 / 0  # here")],
        )

    def test_each_run_has_a_rich_budget_of_its_own(self) -> None:
        context = self.open_context()
        context.ask("class H:\n    def _repr_html_(self): return 'x' * (9 << 20)")
        for _ in range(2):
            self.assertEqual([len(data) for _mime, data in context.ask("H()").rich], [9 << 20])


if __name__ == "__main__":
    unittest.main()
