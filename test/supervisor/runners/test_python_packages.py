"""Packages that the workspace's own virtual environment holds."""

from __future__ import annotations

import os
import sys
import unittest

from harness import WarmTestCase

SITE_PACKAGES = os.path.join(".venv", "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")


class InstalledPackagesTest(WarmTestCase):
    def install(self, name: str, value: int) -> None:
        packages = os.path.join(self.cwd, SITE_PACKAGES)
        os.makedirs(packages, exist_ok=True)
        with open(os.path.join(packages, f"{name}.py"), "w", encoding="utf-8") as file:
            file.write(f"VALUE = {value}\n")

    def test_a_run_can_import_what_was_installed_and_the_folder_itself_comes_first(self) -> None:
        self.install("newcomer", 1)
        self.install("local_one", 2)
        with open(os.path.join(self.cwd, "local_one.py"), "w", encoding="utf-8") as file:
            file.write("VALUE = 3\n")
        outcome = self.run_code("import newcomer, local_one\nnewcomer.VALUE, local_one.VALUE")
        self.assertEqual(outcome.result["value"], "(1, 3)")

    def test_a_context_can_import_what_was_installed_after_it_began(self) -> None:
        run = self.open_context()
        first = run.ask("try:\n    import newcomer\nexcept ImportError:\n    found = False\nfound")
        self.assertEqual(first.result["value"], "False")
        self.install("newcomer", 4)
        self.assertEqual(run.ask("import newcomer\nnewcomer.VALUE").result["value"], "4")
        self.install("second", 5)
        self.assertEqual(
            run.ask("import second, sys\nsecond.VALUE, len(sys.path) - len(set(sys.path))").result["value"], "(5, 0)"
        )


if __name__ == "__main__":
    unittest.main()
