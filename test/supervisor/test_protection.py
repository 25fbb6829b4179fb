"""What a hostile program inside can do to the supervisor: nothing."""

from __future__ import annotations

import unittest

from host import Host, socket_only

ATTEMPTS = (
    "import errno, os\n"
    "def attempt(name, action):\n"
    "    try: action(); print(name, 'worked')\n"
    "    except OSError as error: print(name, errno.errorcode[error.errno])\n"
)


class Protection(unittest.TestCase):
    host: Host

    @classmethod
    def setUpClass(cls) -> None:
        cls.host = Host()
        cls.host.__enter__()
        cls.addClassCleanup(cls.host.close)

    def assert_alive(self) -> None:
        self.assertEqual(self.host.ask("ping"), {"op": "done"})
        self.assertEqual(self.host.run("/usr/bin/true").answer["exit_code"], 0)

    def test_no_signal_from_inside_reaches_it(self) -> None:
        for number in range(1, 65):
            if number not in (32, 33):
                self.host.shell(f"kill -{number} 1")
        self.assert_alive()

    def test_killing_and_stopping_everything_leaves_it_running(self) -> None:
        for name in ("KILL", "STOP", "TERM"):
            self.host.python(f"import os, signal; os.kill(-1, signal.SIG{name})", deadline_ms=2000)
            self.assert_alive()

    def test_others_die_of_it_and_are_reported(self) -> None:
        other = self.host.start("/bin/sleep", "100")
        other.wait_event("started")
        self.host.python("import os; os.kill(-1, 9)")
        self.assertEqual(other.finish().answer["signal"], "KILL")

    def test_its_memory_environment_and_descriptors_are_closed(self) -> None:
        script = ATTEMPTS + (
            "for name in ('mem', 'environ', 'maps', 'auxv', 'stack', 'syscall'):\n"
            "    attempt(name, lambda: open(f'/proc/1/{name}', 'rb').read(1))\n"
            "attempt('fd', lambda: os.listdir('/proc/1/fd'))\n"
            "attempt('fd0', lambda: open('/proc/1/fd/0'))\n"
            "attempt('cwd', lambda: os.listdir('/proc/1/cwd/.'))\n"
            "attempt('write', lambda: open('/proc/1/mem', 'r+b'))\n"
            "attempt('score', lambda: open('/proc/1/oom_score_adj', 'w').write('1000'))\n"
        )
        output = self.host.python(script).stdout.decode()
        self.assertEqual(len(output.splitlines()), 11, output)
        for line in output.splitlines():
            self.assertRegex(line, r" (EACCES|EPERM)$")

    @socket_only("there is nothing to dial")
    def test_dialing_the_host_without_the_key_gets_nothing(self) -> None:
        script = (
            "import socket\n"
            "s = socket.socket(socket.AF_UNIX); s.connect('/run/paddock/host.sock')\n"
            "s.recv(1000); s.sendall(b'\\0\\0\\0\\x02\\1\\0\\0\\0\\0{}')\n"
            "print(s.recv(1000))\n"
        )
        self.assertEqual(self.host.python(script).stdout, b"b''\n")

    def test_thousands_of_short_lived_orphans_are_all_reaped(self) -> None:
        script = (
            "import os\n"
            "for _ in range(300):\n"
            "    if os.fork() == 0:\n"
            "        for _ in range(10):\n"
            "            if os.fork() == 0: os._exit(0)\n"
            "        os._exit(0)\n"
            "    os.wait()\n"
        )
        self.assertEqual(self.host.python(script).answer["survivors"], 0)
        states = self.host.python(
            "import os\n"
            "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
            "    try: print(open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0])\n"
            "    except OSError: pass\n"
        ).stdout
        self.assertNotIn(b"Z", states)


if __name__ == "__main__":
    unittest.main()
