"""Dialing, proving, staying reachable, and refusing what does not fit the protocol."""

from __future__ import annotations

import json
import queue
import random
import struct
import time
import unittest

from host import CONTROL, DATA, END, STDOUT, Host, Link, Lost, socket_only, start_fields, wait_until


class Handshake(unittest.TestCase):
    def test_a_supervisor_with_the_right_key_is_welcomed_and_serves(self) -> None:
        with Host(init=False) as host:
            self.assertEqual(host.ask("ping"), {"op": "done"})
            self.assertEqual(host.failed_handshakes, 0)

    def test_a_supervisor_with_a_wrong_key_never_gets_in_and_dials_slowly(self) -> None:
        with Host(init=False, given_key="0" * 32) as host:
            wait_until(lambda: host.failed_handshakes >= 3)
            first = time.monotonic()
            wait_until(lambda: host.failed_handshakes >= 5)
            self.assertGreater(time.monotonic() - first, 0.5)
            self.assertEqual(host.handshakes, 0)

    def test_one_connection_is_idle_while_calls_run(self) -> None:
        with Host() as host:
            calls = [host.start("/bin/sleep", "100") for _ in range(8)]
            for call in calls:
                call.wait_event("started")
            self.assertEqual(host.ask("ping"), {"op": "done"})
            for call in calls:
                call.control(op="cancel")
                self.assertEqual(call.finish().answer["reason"], "cancel")

    def test_calls_leave_room_for_tunnels_within_the_64_connections(self) -> None:
        with Host() as host:
            calls = [host.start("/bin/sleep", "100") for _ in range(32)]
            with self.assertRaises(queue.Empty):
                host.take(timeout=0.5)
            self.assertEqual(host.handshakes, 32)
            calls[0].link.close()
            self.assertEqual(host.ask("ping"), {"op": "done"})


class LostConnections(unittest.TestCase):
    def test_all_connections_may_break_at_any_moment(self) -> None:
        with Host() as host:
            for _ in range(5):
                host.drop_connections()
                self.assertEqual(host.ask("ping"), {"op": "done"})

    @socket_only("the end of the one stream is the end of the supervisor")
    def test_a_listener_that_is_away_is_dialed_again(self) -> None:
        with Host() as host:
            host.stop_listening()
            host.drop_connections()
            time.sleep(0.3)
            host.listen()
            self.assertEqual(host.ask("ping"), {"op": "done"})

    def test_settings_survive_a_lost_connection(self) -> None:
        with Host() as host:
            host.drop_connections()
            self.assertEqual(host.run("/usr/bin/true").answer["exit_code"], 0)


class Breaches(unittest.TestCase):
    """From the host's side; the supervisor drops that connection and nothing else."""

    def setUp(self) -> None:
        self.host = Host()
        self.host.__enter__()
        self.addCleanup(self.host.close)

    def assert_dropped(self, link: Link, *frames: bytes) -> None:
        for frame in frames:
            link.sock.sendall(frame)
        with self.assertRaises((Lost, ConnectionError)):
            while True:
                link.read_frame()
        self.assertEqual(self.host.ask("ping"), {"op": "done"})

    def test_broken_frames_end_the_connection(self) -> None:
        for frame in (
            struct.pack(">IBI", 0xFFFFFFFF, DATA, 0),
            struct.pack(">IBI", (1 << 20) + 1, DATA, 0),
            struct.pack(">IBI", 65537, CONTROL, 0),
            struct.pack(">IBI", 1, END, 0),
            struct.pack(">IBI", 0, STDOUT, 0),
            struct.pack(">IBI", 0, 9, 0),
            struct.pack(">IBI", 2, CONTROL, 7) + b"{}",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            with self.subTest(frame=frame):
                self.assert_dropped(self.host.take(), frame)

    def test_data_outside_a_call_ends_the_connection(self) -> None:
        self.assert_dropped(self.host.take(), struct.pack(">IBI", 1, DATA, 0) + b"x")

    def test_controls_that_are_no_json_object_end_the_connection(self) -> None:
        deep = b'{"op":' + b"[" * 30000 + b"]" * 30000 + b"}"
        for text in (b"", b"null", b"[]", b"{", b'{"op":"ping"} x', b'{"op":NaN}', b"\xff", deep):
            with self.subTest(text=text[:20]):
                self.assert_dropped(self.host.take(), struct.pack(">IBI", len(text), CONTROL, 0) + text)

    def test_an_unknown_control_inside_a_call_ends_the_connection_but_not_the_process(self) -> None:
        call = self.host.start("/bin/sleep", "100")
        pid = call.wait_event("started")["pid"]
        self.assert_dropped(call.link, control_frame({"op": "dance"}))
        self.assertEqual([entry["pid"] for entry in self.host.ask("processes")["processes"]], [pid])

    def test_a_frame_cut_into_single_bytes_is_understood(self) -> None:
        link = self.host.take()
        for byte in control_frame({"op": "ping", "call": "slow"}):
            link.sock.sendall(bytes([byte]))
        self.assertEqual(link.read_control(), {"op": "done"})

    def test_random_bytes_never_harm_the_supervisor(self) -> None:
        dice = random.Random(7)
        valid = control_frame({"op": "start", "call": "fuzz", **start_fields(("/usr/bin/true",))})
        for _ in range(150):
            frame = bytearray(valid)
            for _ in range(dice.randrange(1, 6)):
                frame[dice.randrange(len(frame))] = dice.randrange(256)
            link = self.host.take()
            link.sock.sendall(bytes(frame) + dice.randbytes(dice.randrange(40)))
            link.close()
        self.assertEqual(self.host.ask("ping"), {"op": "done"})
        self.assertEqual(self.host.run("/usr/bin/true").answer["exit_code"], 0)

    def test_requests_that_fit_no_schema_fail_as_invalid(self) -> None:
        for fields in (
            {"op": "unknown", "call": "a"},
            {"op": "ping"},
            {"op": "ping", "call": ""},
            {"op": "ping", "call": "../x"},
            {"op": "ping", "call": "a", "more": 1},
            {"op": "attach", "call": "a", "pid": True},
            {"op": "attach", "call": "a", "pid": 1},
            {"op": "connect", "call": "a", "port": 0},
            {"op": "signal", "call": "a", "pid": 5, "signal": "KILL;rm"},
            {"op": "start", "call": "a", "argv": ["true"]},
            {"op": 5, "call": "a"},
        ):
            with self.subTest(fields=fields):
                link = self.host.take()
                link.send_control(fields)
                answer = link.read_control()
                self.assertEqual((answer["op"], answer["code"]), ("failed", "invalid"))
                self.host.release(link)

    def test_bad_values_of_a_start_fail_as_invalid(self) -> None:
        for change in (
            {"argv": []},
            {"argv": ["a\0b"]},
            {"argv": [1]},
            {"env": {"A=B": "c"}},
            {"env": {"": "c"}},
            {"env": {"A": None}},
            {"deadline_ms": -1},
            {"deadline_ms": 1.5},
            {"deadline_ms": "10"},
            {"deadline_ms": 2**63},
            {"live_bytes": True},
            {"pty": {"rows": 0, "cols": 80}},
            {"rlimits": {"stack": 1}},
            {"cwd": ""},
            {"background": None},
        ):
            with self.subTest(change=change):
                answer = self.host.run("/usr/bin/true", **change).answer
                self.assertEqual((answer["op"], answer.get("code")), ("failed", "invalid"))


class Order(unittest.TestCase):
    def test_nothing_but_ping_works_before_init(self) -> None:
        with Host(init=False) as host:
            answer = host.run("/usr/bin/true").answer
            self.assertEqual((answer["op"], answer["code"]), ("failed", "unavailable"))
            self.assertGreater(host.init()["pid_max"], 100)
            self.assertEqual(host.run("/usr/bin/true").answer["exit_code"], 0)

    def test_frames_after_the_end_of_a_call_are_discarded_until_release(self) -> None:
        with Host() as host:
            link = host.take()
            link.send_control({"op": "ping", "call": "a"})
            link.send(DATA, b"late")
            link.send(END)
            link.send_control({"op": "cancel"})
            link.send_control({"op": "release"})
            link.send_control({"op": "ping", "call": "b"})
            self.assertEqual([link.read_control(), link.read_control()], [{"op": "done"}] * 2)

    def test_init_again_replaces_the_environment(self) -> None:
        with Host() as host:
            host.init(env={"FIRST": "1"})
            host.init(env={"SECOND": "2"})
            self.assertEqual(host.shell('echo "$FIRST-$SECOND"').stdout, b"-2\n")


def control_frame(fields: dict[str, object]) -> bytes:
    text = json.dumps(fields).encode()
    return struct.pack(">IBI", len(text), CONTROL, 0) + text


if __name__ == "__main__":
    unittest.main()
