"""Output of any amount and shape, with bounded memory."""

from __future__ import annotations

import hashlib
import os
import time
import unittest

from host import PYTHON, Host, HostCall, start_fields

MIB = 1 << 20


class Shared(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host()
        self.host.__enter__()
        self.addCleanup(self.host.close)


class Streams(Shared):
    def test_stdout_and_stderr_stay_apart_and_binary(self) -> None:
        script = "import os; os.write(1, bytes(range(256)) * 4); os.write(2, b'\\xff\\xfe')"
        result = self.host.python(script)
        self.assertEqual((result.stdout, result.stderr), (bytes(range(256)) * 4, b"\xff\xfe"))

    def test_everything_written_before_the_exit_arrives(self) -> None:
        for size in (1, 65535, 65536, 65537, 3 * MIB):
            result = self.host.python(f"import os\nd = b'x' * {size}\nwhile d: d = d[os.write(1, d):]")
            self.assertEqual((len(result.stdout), result.answer["stdout"]["dropped"]), (size, 0))

    def test_a_million_one_byte_writes_do_not_make_a_million_frames(self) -> None:
        script = "import os\nfor _ in range(1_000_000): os.write(1, b'x')"
        result = self.host.python(script)
        self.assertEqual(result.stdout, b"x" * 1_000_000)
        self.assertLess(result.frames, 20_000)

    def test_a_prompt_written_after_a_pause_arrives_at_once(self) -> None:
        call = self.host.start(PYTHON, "-c", "import time\nfor i in range(5): print(i, flush=True); time.sleep(0.2)")
        for i in range(5):
            call.wait_output(b"%d\n" % i)
        self.assertEqual(call.finish().answer["exit_code"], 0)

    def test_output_that_looks_like_frames_is_only_output(self) -> None:
        frame = b"\x00\x00\x00\x0d\x01\x00\x00\x00\x00" + b'{"op":"done"}'
        (self.host.workspace / "frame").write_bytes(frame)
        self.assertEqual(self.host.run("/bin/cat", "frame").stdout, frame)


class Floods(Shared):
    def test_300_mib_with_a_live_limit_keep_memory_bounded(self) -> None:
        self.host.run("/usr/bin/true")
        result = self.host.run("/usr/bin/head", "-c", str(300 * MIB), "/dev/zero", live_bytes=MIB)
        report = result.answer["stdout"]
        self.assertEqual(report["bytes"], 300 * MIB)
        self.assertEqual(len(result.stdout), MIB + 512 * 1024)
        self.assertEqual(
            result.event("gap"), {"op": "gap", "stream": "stdout", "bytes": 300 * MIB - len(result.stdout)}
        )
        self.assertEqual(report["spill"]["bytes"], 64 * MIB)
        self.assertEqual(report["dropped"], 300 * MIB - 64 * MIB - 512 * 1024)
        self.assertLess(self.host.memory_kb("Rss"), 32 * 1024)

    def test_a_slow_host_holds_the_process_back_and_loses_nothing(self) -> None:
        call = self.host.start("/usr/bin/head", "-c", str(40 * MIB), "/dev/zero")
        call.wait_event("started")
        time.sleep(0.5)
        self.assertLess(self.host.memory_kb("Rss"), 32 * 1024)
        self.assertEqual(self.host.ask("ping"), {"op": "done"})
        result = call.finish()
        self.assertEqual((len(result.stdout), result.answer["stdout"]["dropped"]), (40 * MIB, 0))

    def test_a_process_nobody_reads_is_ended_by_its_deadline(self) -> None:
        call = self.host.start("/bin/cat", "/dev/zero", deadline_ms=400)
        time.sleep(0.6)
        answer = call.finish().answer
        self.assertEqual((answer["reason"], answer["signal"]), ("deadline", "TERM"))
        self.assertLess(answer["duration_us"], 600_000)

    def test_a_process_whose_host_left_floods_into_the_ring(self) -> None:
        call = self.host.start("/usr/bin/head", "-c", str(100 * MIB), "/dev/zero")
        pid = call.wait_event("started")["pid"]
        call.link.close()
        while self.host.ask("processes")["processes"][0]["running"]:
            time.sleep(0.02)
        result = self.host.call("attach", pid=pid).finish()
        self.assertEqual(result.answer["stdout"]["bytes"], 100 * MIB)
        self.assertEqual(len(result.stdout), 512 * 1024)
        self.assertLess(self.host.memory_kb("Rss"), 32 * 1024)


class LiveBytes(Shared):
    def test_the_tail_follows_the_gap(self) -> None:
        script = "import os\nfor i in range(300_000): os.write(1, b'%09d\\n' % i)"
        result = self.host.python(script, live_bytes=10_000)
        gap = result.event("gap")["bytes"]
        self.assertEqual(result.stdout[:10_000], b"".join(b"%09d\n" % i for i in range(1000)))
        self.assertTrue(result.stdout.endswith(b"000299999\n"))
        self.assertEqual(len(result.stdout) + gap, 3_000_000)

    def test_without_live_bytes_short_output_comes_whole_at_the_end(self) -> None:
        result = self.host.shell("echo out; echo err >&2", live_bytes=0)
        self.assertEqual((result.stdout, result.stderr, len(result.events)), (b"out\n", b"err\n", 1))


class SpillFiles(Shared):
    def test_a_long_stream_is_written_whole_with_its_hash(self) -> None:
        content = os.urandom(3 * MIB)
        (self.host.workspace / "big").write_bytes(content)
        call = self.host.start("/bin/cat", "big", live_bytes=1000)
        result = call.finish()
        spill = result.answer["stdout"]["spill"]
        self.assertEqual(spill["path"], f".paddock/out/{call.id}.stdout")
        written = (self.host.workspace / spill["path"]).read_bytes()
        self.assertEqual(written, content)
        self.assertEqual(spill["sha256"], hashlib.sha256(content).hexdigest())
        self.assertEqual(result.answer["stdout"]["dropped"], 0)
        self.assertIsNone(result.answer["stderr"]["spill"])

    def test_a_stream_of_exactly_one_mib_makes_no_file(self) -> None:
        result = self.host.run("/usr/bin/head", "-c", str(MIB), "/dev/zero")
        self.assertIsNone(result.answer["stdout"]["spill"])
        self.assertFalse((self.host.workspace / ".paddock").exists())

    def test_the_file_ends_at_its_limit(self) -> None:
        self.host.init(spill_bytes=2 * MIB)
        result = self.host.run("/usr/bin/head", "-c", str(5 * MIB), "/dev/zero", live_bytes=0)
        self.assertEqual(result.answer["stdout"]["spill"]["bytes"], 2 * MIB)
        self.assertEqual(result.answer["stdout"]["dropped"], 5 * MIB - 2 * MIB - 512 * 1024)

    def test_planted_links_are_never_followed(self) -> None:
        target = self.host.workspace / "target"
        target.mkdir()
        for plant in ("ln -s target .paddock", "mkdir .paddock && ln -s ../target .paddock/out", "mkfifo .paddock"):
            with self.subTest(plant=plant):
                self.host.shell(f"rm -rf .paddock && {plant}")
                result = self.host.run("/usr/bin/head", "-c", str(2 * MIB), "/dev/zero", live_bytes=0)
                self.assertIsNone(result.answer["stdout"]["spill"])
                self.assertEqual(list(target.iterdir()), [])

    def test_a_planted_name_is_never_written_to(self) -> None:
        self.host.shell("mkdir -p .paddock/out && echo mine > victim && ln -s ../../victim .paddock/out/planted.stdout")
        argv = ("/usr/bin/head", "-c", str(2 * MIB), "/dev/zero")
        call = HostCall(
            self.host, self.host.take(), {"op": "start", "call": "planted", **start_fields(argv), "live_bytes": 0}
        )
        self.assertIsNone(call.finish().answer["stdout"]["spill"])
        self.assertEqual((self.host.workspace / "victim").read_bytes(), b"mine\n")


if __name__ == "__main__":
    unittest.main()
