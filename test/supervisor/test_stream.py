"""The channel over one stream: what only that way has. Everything else runs over both ways."""

from __future__ import annotations

import contextlib
import os
import random
import re
import struct
import threading
import time
import unittest

from host import Host, Lost, wait_until
from streams import CONTROL, DATA, END, WINDOW_BYTES

MIB = 1 << 20


class Flow(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host(transport="stdio")
        self.host.__enter__()
        self.addCleanup(self.host.close)

    def test_a_flood_on_one_stream_does_not_starve_a_ping_on_another(self) -> None:
        flood = self.host.start("/bin/sh", "-c", "exec head -c 1073741824 /dev/zero")
        flood.wait_event("started")
        stop = threading.Event()
        received = 0

        def read_flood() -> None:
            nonlocal received
            with contextlib.suppress(Lost, OSError):
                while not stop.is_set():
                    received += len(flood.link.read_frame()[1])

        reader = threading.Thread(target=read_flood)
        reader.start()
        wait_until(lambda: received > 8 * MIB)
        before = received
        for _ in range(20):
            self.assertEqual(self.host.ask("ping"), {"op": "done"})
        wait_until(lambda: received > before)
        stop.set()
        flood.link.close()
        reader.join()

    def test_a_reader_that_stands_still_gets_its_window_and_not_a_byte_more(self) -> None:
        flood = self.host.start("/bin/sh", "-c", "exec head -c 1073741824 /dev/zero")
        stream = flood.link.sock
        wait_until(lambda: stream.received - stream.granted == WINDOW_BYTES)
        memory = self.host.memory_kb("Pss")
        for _ in range(5):
            self.assertEqual(self.host.ask("ping"), {"op": "done"})
        self.assertEqual(stream.received - stream.granted, WINDOW_BYTES)
        self.assertLess(self.host.memory_kb("Pss"), memory + 4096)
        self.assertLess(self.host.memory_kb("Pss"), 40 * 1024)

    def test_credit_is_all_that_is_sent_even_after_it_came_in_drops(self) -> None:
        with Host(transport="stdio") as host:
            answer = host.start("/bin/sh", "-c", "head -c 3000000 /dev/zero")
            self.assertEqual(len(answer.finish().stdout), 3000000)
            self.assertIsNone(host.streams.problem)

    def test_input_that_nobody_reads_stops_at_the_window_and_other_calls_go_on(self) -> None:
        call = self.host.start("/bin/sleep", "100", stdin=True)
        call.wait_event("started")
        sender = threading.Thread(target=lambda: self._send_quietly(call, 16 * MIB))
        sender.start()
        wait_until(lambda: call.link.sock.credit == 0)
        self.assertEqual(self.host.ask("cancel", target=call.id), {"op": "done"})
        self.assertEqual(call.finish().answer["reason"], "cancel")
        call.link.close()
        sender.join()

    def _send_quietly(self, call: object, count: int) -> None:
        with contextlib.suppress(OSError):
            call.send_data(bytes(count))

    def test_many_connections_at_once_stay_within_the_limit(self) -> None:
        calls = [self.host.start("/bin/sh", "-c", "head -c 700000 /dev/zero; cat", stdin=True) for _ in range(32)]
        for call in calls:
            call.end()
        for call in calls:
            self.assertEqual(len(call.finish().stdout), 700000)
        self.assertEqual(self.host.streams.most_open, 32)

    def test_numbers_are_not_used_again(self) -> None:
        for _ in range(100):
            self.host.drop_connections()
            self.assertEqual(self.host.ask("ping"), {"op": "done"})
        self.assertGreater(self.host.streams.last, 100)
        wait_until(lambda: len(self.host.streams.open) <= 2)

    def test_a_half_close_of_the_host_ends_the_connection(self) -> None:
        link = self.host.take()
        self.host.streams.send(END, link.sock.number)
        with self.assertRaises(Lost):
            link.read_frame()
        self.assertEqual(self.host.ask("ping"), {"op": "done"})


class End(unittest.TestCase):
    def test_the_end_of_the_stream_is_the_end_of_the_supervisor_and_of_what_it_started(self) -> None:
        with Host(transport="stdio") as host:
            call = host.start("/bin/sleep", "1000")
            call.wait_event("started")
            host.streams.close()
            self.assertEqual(host.process.wait(20), 0)

    def test_a_stream_that_breaks_in_the_middle_of_output_ends_the_supervisor(self) -> None:
        with Host(transport="stdio") as host:
            host.start("/bin/sh", "-c", "exec cat /dev/zero").wait_event("started")
            host.streams.close()
            host.process.wait(20)

    def test_breaches_end_the_supervisor(self) -> None:
        for name, frames in BREACHES.items():
            with self.subTest(name), Host(transport="stdio") as host:
                host.streams.send_raw(b"".join(frames))
                host.process.wait(20)

    def test_random_bytes_end_the_supervisor_and_never_hang_it(self) -> None:
        dice = random.Random(11)
        for _ in range(20):
            with Host(transport="stdio", init=False) as host:
                host.streams.send_raw(dice.randbytes(400))
                host.process.wait(20)

    def test_frames_cut_anywhere_are_understood(self) -> None:
        with Host(transport="stdio") as host:
            link = host.take()
            number = link.sock.number
            text = b'{"op":"ping","call":"slow"}'
            inner = struct.pack(">IBI", len(text), CONTROL, 0) + text
            for byte in inner:
                host.streams.send_raw(frame(DATA, number, bytes([byte])), largest=1)
            self.assertEqual(link.read_control(), {"op": "done"})


def frame(kind: int, number: int, payload: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack(">IBI", len(payload) if length is None else length, kind, number) + payload


BREACHES = {
    "unknown stream": [frame(DATA, 1000, b"x")],
    "end of an unknown stream": [frame(END, 1000)],
    "data after end": [frame(END, 1), frame(DATA, 1, b"x")],
    "second end": [frame(END, 1), frame(END, 1)],
    "data after closed": [frame(CONTROL, 0, b'{"op":"closed","stream":1}'), frame(DATA, 1, b"x")],
    "giant length": [frame(DATA, 1, length=0xFFFFFFFF)],
    "a piece above the limit": [frame(DATA, 1, length=65537)],
    "an empty piece": [frame(DATA, 1)],
    "data on stream 0": [frame(DATA, 0, b"x")],
    "stdout on a stream": [frame(3, 1, b"x")],
    "credit overflow": [frame(CONTROL, 0, b'{"op":"credit","stream":1,"bytes":262144}')],
    "negative credit": [frame(CONTROL, 0, b'{"op":"credit","stream":1,"bytes":-1}')],
    "no credit": [frame(CONTROL, 0, b'{"op":"credit","stream":1,"bytes":0}')],
    "boolean credit": [frame(CONTROL, 0, b'{"op":"credit","stream":1,"bytes":true}')],
    "credit for an unknown stream": [frame(CONTROL, 0, b'{"op":"credit","stream":99,"bytes":1}')],
    "the host opens": [frame(CONTROL, 0, b'{"op":"open","stream":2}')],
    "unknown control": [frame(CONTROL, 0, b'{"op":"dance","stream":1}')],
    "a field too many": [frame(CONTROL, 0, b'{"op":"closed","stream":1,"x":1}')],
    "no JSON": [frame(CONTROL, 0, b"{")],
    "a list": [frame(CONTROL, 0, b"[]")],
    "no text at all": [b"GET / HTTP/1.1\r\n\r\n"],
}


class Descriptors(unittest.TestCase):
    """Only the supervisor holds the stream."""

    def setUp(self) -> None:
        self.host = Host(transport="stdio")
        self.host.__enter__()
        self.addCleanup(self.host.close)

    def test_a_guest_inherits_three_descriptors_and_none_of_them_is_the_stream(self) -> None:
        script = "import os; print({fd: os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')})"
        for changes in ({}, {"rlimits": {"open_files": 64}}, {"pty": {"rows": 5, "cols": 80}}):
            with self.subTest(changes=changes):
                listed = self.host.python(script, **changes).stdout.decode()
                inherited = {int(fd) for fd in re.findall(r"'(\d+)':", listed)}
                self.assertLessEqual(inherited, {0, 1, 2, 3}, listed)  # 3 is the listing itself

    def test_what_guests_write_everywhere_never_reaches_the_stream(self) -> None:
        script = (
            "import os\n"
            "for fd in range(256):\n"
            "    try: os.write(fd, b'\\0\\0\\0\\0garbage')\n"
            "    except OSError: pass\n"
            "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
            "    if int(pid) == os.getpid(): continue\n"
            "    for fd in range(80):\n"
            "        path = f'/proc/{pid}/fd/{fd}'\n"
            "        try: os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), b'\\0\\0\\0\\0garbage')\n"
            "        except OSError: pass\n"
        )
        self.host.python(script)
        self.assertEqual(self.host.ask("ping"), {"op": "done"})
        self.assertIsNone(self.host.streams.problem)

    def test_the_supervisor_holds_the_stream_above_its_first_descriptors(self) -> None:
        folder = f"/proc/{self.host.supervisor_pid}/fd"
        try:
            names = {int(fd): os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
        except PermissionError:
            self.skipTest("only root sees the descriptors of an undumpable process")
        for fd in (0, 1, 2):
            self.assertEqual(names[fd], "/dev/null")
        self.assertEqual([fd for fd in names if fd >= 64], [64, 65])

    def test_idle_it_uses_no_time(self) -> None:
        self.host.ask("ping")
        time.sleep(0.2)
        before = self._cpu_ticks()
        time.sleep(1)
        self.assertLessEqual(self._cpu_ticks() - before, 1)

    def _cpu_ticks(self) -> int:
        fields = open(f"/proc/{self.host.supervisor_pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    unittest.main()
