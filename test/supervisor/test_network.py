"""The relay out and `connect` in: bytes, half-close, back-pressure, many at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import threading
import time
import unittest

from host import DATA, END, PYTHON, Host, Link, Lost, altered, starved

MIB = 1 << 20
DIAL = (
    "import os, socket, sys, time\n"
    "from urllib.parse import urlsplit\n"
    "def dial():\n"
    "    return socket.create_connection(('127.0.0.1', urlsplit(os.environ['http_proxy']).port))\n"
    "def rest(s):\n"
    "    parts = []\n"
    "    while part := s.recv(65536): parts.append(part)\n"
    "    return b''.join(parts)\n"
)
SERVE = (
    "import socket, sys\n"
    "l = socket.create_server(('127.0.0.1', 0))\n"
    "print(l.getsockname()[1], flush=True)\n"
    "def rest(s):\n"
    "    parts = []\n"
    "    while part := s.recv(65536): parts.append(part)\n"
    "    return b''.join(parts)\n"
)


class Shared(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host()
        self.host.__enter__()
        self.addCleanup(self.host.close)


def read_tunnel(link: Link) -> bytes:
    """Everything up to the far side's end."""
    content = bytearray()
    while True:
        kind, payload = link.read_frame()
        if kind == END:
            return bytes(content)
        assert kind == DATA
        content += payload


class Relay(Shared):
    def start(self, script: str):
        return self.host.start(PYTHON, "-c", DIAL + script)

    def test_each_connection_is_a_tunnel_that_names_its_call(self) -> None:
        call = self.start("s = dial(); s.sendall(b'ask'); s.shutdown(1); print(rest(s).decode())")
        link = self.host.relays.get(timeout=10)
        self.assertEqual((link.role, link.call_id), ("relay", call.id))
        self.assertEqual(read_tunnel(link), b"ask")
        link.send(DATA, b"answer")
        link.send(END)
        self.assertEqual(call.finish().stdout, b"answer\n")

    def test_an_answer_after_the_guest_ended_its_direction_arrives(self) -> None:
        call = self.start("s = dial(); s.shutdown(1); print(len(rest(s)))")
        link = self.host.relays.get(timeout=10)
        self.assertEqual(read_tunnel(link), b"")
        for _ in range(5):
            link.send(DATA, b"x" * MIB)
        link.send(END)
        link.close()
        self.assertEqual(call.finish().stdout, b"%d\n" % (5 * MIB))

    def test_what_the_host_sent_before_it_closed_is_delivered_to_a_slow_reader(self) -> None:
        call = self.start("s = dial(); time.sleep(0.5); print(len(rest(s)))")
        link = self.host.relays.get(timeout=10)
        for _ in range(8):
            link.send(DATA, b"x" * (MIB // 2))
        link.close()
        self.assertEqual(call.finish().stdout, b"%d\n" % (4 * MIB))

    def test_large_bodies_pass_both_ways_with_bounded_memory(self) -> None:
        size = 24 * MIB
        call = self.start(
            "import threading\n"
            "s = dial()\n"
            f"t = threading.Thread(target=lambda: (s.sendall(b'y' * {size}), s.shutdown(1))); t.start()\n"
            "print(len(rest(s))); t.join()\n"
        )
        link = self.host.relays.get(timeout=10)
        time.sleep(0.3)
        self.assertLess(self.host.memory_kb("Rss"), 32 * 1024)

        def send() -> None:
            for _ in range(size // MIB):
                link.send(DATA, b"x" * MIB)
            link.send(END)

        sender = threading.Thread(target=send)
        sender.start()
        self.assertEqual(len(read_tunnel(link)), size)
        sender.join()
        self.assertEqual(call.finish().stdout, b"%d\n" % size)
        self.assertLess(self.host.memory_kb("Rss"), 32 * 1024)

    def test_what_a_program_sent_arrives_though_it_exits_at_once(self) -> None:
        size = 3 * MIB // 2
        call = self.start(f"s = dial(); s.sendall(b'y' * {size})")
        link = self.host.relays.get(timeout=10)
        self.assertEqual(call.finish().answer["exit_code"], 0)
        self.assertEqual(len(read_tunnel(link)), size)

    def test_what_a_program_sent_before_anybody_accepted_it_arrives_too(self) -> None:
        with starved(self.host.supervisor_pid):
            call = self.start("for _ in range(20): dial().sendall(b'once')")
            for _ in range(20):
                self.assertEqual(read_tunnel(self.host.relays.get(timeout=10)), b"once")
            self.assertEqual(call.finish().answer["exit_code"], 0)

    def test_a_host_that_does_not_read_holds_an_ended_call_for_a_quarter_second_only(self) -> None:
        call = self.start(f"s = dial(); s.settimeout(1); s.send(b'y' * {8 * MIB})")
        link = self.host.relays.get(timeout=10)
        self.assertEqual(call.finish().answer["exit_code"], 0)
        self.assertEqual(self.host.run("/usr/bin/true").answer["exit_code"], 0)
        with contextlib.suppress(Lost, ConnectionError):
            read_tunnel(link)

    def test_connections_that_an_ended_call_left_make_way_for_those_of_the_next(self) -> None:
        hang_up = self.start("for _ in range(60):\n s = dial(); s.sendall(b'x'); s.close()")
        left = [self.host.relays.get(timeout=10) for _ in range(31)]
        self.assertEqual(hang_up.finish().answer["exit_code"], 0)
        call = self.start("s = dial(); s.shutdown(1); print(rest(s))")
        while (link := self.host.relays.get(timeout=10)).call_id != call.id:
            left.append(link)
        # The host has ended none of those before it.
        self.assertGreater(len(left), 31)
        link.send(END)
        self.assertEqual(call.finish().answer["exit_code"], 0)

    def test_a_steady_stream_has_a_frame_under_way_at_all_times_and_none_is_late(self) -> None:
        content = b"x" * (32 * 1024)
        frame = struct.pack(">IBI", len(content), DATA, 0) + content
        with altered(
            "channel/connection.py", "PARTIAL_FRAME_SECONDS = 10.0", "PARTIAL_FRAME_SECONDS = 0.2"
        ) as supervisor:
            with Host(supervisor=supervisor) as host:
                call = host.start(PYTHON, "-c", DIAL + "s = dial(); s.shutdown(1); print(len(rest(s)))")
                link = host.relays.get(timeout=10)
                link.sock.sendall(frame[:1000])
                for _ in range(10):
                    time.sleep(0.08)
                    link.sock.sendall(frame[1000:] + frame[:1000])
                link.sock.sendall(frame[1000:])
                link.send(END)
                self.assertEqual(call.finish().stdout, b"%d\n" % (11 * len(content)))

    def test_more_connections_than_handshake_slots_all_get_through_one_by_one(self) -> None:
        call = self.start(
            "links = [dial() for _ in range(60)]\n"
            "for s in links: s.sendall(b'q'); s.shutdown(1)\n"
            "print(sum(rest(s) == b'a' for s in links))\n"
        )
        for _ in range(60):
            link = self.host.relays.get(timeout=10)
            self.assertEqual(read_tunnel(link), b"q")
            link.send(DATA, b"a")
            link.send(END)
        self.assertEqual(call.finish().stdout, b"60\n")
        self.assertEqual(self.host.failed_handshakes, 0)

    def test_tunnels_never_keep_a_call_from_being_served(self) -> None:
        call = self.start("links = [dial() for _ in range(100)]; print('dialed', flush=True); time.sleep(100)")
        call.wait_output(b"dialed")
        held = [self.host.relays.get(timeout=10) for _ in range(31)]
        self.assertEqual(self.host.ask("ping"), {"op": "done"})
        self.assertEqual(self.host.run("/usr/bin/true").answer["exit_code"], 0)
        call.control(op="cancel")
        call.finish()
        for link in held:
            with self.assertRaises((Lost, ConnectionError)):
                while True:
                    link.read_frame()

    def test_the_port_of_an_ended_call_is_closed(self) -> None:
        port = self.host.run("/usr/bin/true").event("started")["relay_port"]
        script = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
        self.assertEqual(self.host.python(script).stdout, b"111\n")

    def test_each_call_has_a_port_of_its_own(self) -> None:
        first, second = (self.host.start("/bin/sleep", "100") for _ in range(2))
        ports = {first.wait_event("started")["relay_port"], second.wait_event("started")["relay_port"]}
        self.assertEqual(len(ports), 2)


class Connect(Shared):
    def serve(self, script: str):
        call = self.host.start(PYTHON, "-c", SERVE + script)
        call.wait_output(b"\n")
        return call, int(call.result.stdout)

    def connect(self, port: int):
        call = self.host.call("connect", port=port)
        call.wait_event("connected")
        return call

    def test_bytes_pass_both_ways_and_each_direction_ends_by_itself(self) -> None:
        server, port = self.serve("s = l.accept()[0]; s.sendall(b'hello'); d = rest(s); s.sendall(d[::-1])")
        call = self.connect(port)
        call.send_data(b"abc")
        call.end()
        result = call.finish()
        self.assertEqual(result.data, b"hellocba")
        self.assertEqual(result.answer, {"op": "done", "tx_bytes": 3, "rx_bytes": 8})
        self.assertEqual(server.finish().answer["exit_code"], 0)

    def test_a_large_upload_to_a_slow_server_arrives(self) -> None:
        content = os.urandom(8 * MIB)
        server, port = self.serve(
            "import time, hashlib; s = l.accept()[0]; time.sleep(0.4); print(hashlib.sha256(rest(s)).hexdigest())"
        )
        call = self.connect(port)
        call.send_data(content)
        call.end()
        self.assertEqual(call.finish().answer["tx_bytes"], 8 * MIB)
        self.assertIn(hashlib.sha256(content).hexdigest().encode(), server.finish().stdout)

    def test_a_port_nobody_listens_on_is_unavailable(self) -> None:
        answer = self.host.ask("connect", port=9)
        self.assertEqual((answer["op"], answer["code"]), ("failed", "unavailable"))

    def test_a_server_that_resets_ends_the_call(self) -> None:
        reset = "import struct; s = l.accept()[0]; s.setsockopt(1, 13, struct.pack('ii', 1, 0)); s.recv(1); s.close()"
        _, port = self.serve(reset)
        call = self.connect(port)
        call.send_data(b"x")
        self.assertEqual(call.finish().answer["op"], "done")

    def test_a_lost_connection_closes_the_socket_inside(self) -> None:
        server, port = self.serve("s = l.accept()[0]; print(rest(s))")
        call = self.connect(port)
        call.link.close()
        self.assertIn(b"b''", server.finish().stdout)

    def test_cancel_ends_it(self) -> None:
        _, port = self.serve("s = l.accept()[0]; print(rest(s))")
        call = self.connect(port)
        call.control(op="cancel")
        self.assertEqual(call.finish().answer["op"], "done")


if __name__ == "__main__":
    unittest.main()
