import hashlib
import os
import unittest

from driver import FilesTest, Running


class Read(FilesTest):
    def test_sends_the_whole_file_with_its_size_mode_and_digest(self):
        content = os.urandom(3_000_000)
        self.put("a.bin", content, 0o750)
        result = self.run_op("read", path="a.bin")
        self.assertEqual(result.data, content)
        self.assertEqual(result.channel.events, [{"op": "meta", "size": len(content), "mode": 0o750}])
        self.assertEqual(result.value, {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})

    def test_sends_ranges_and_nothing_past_the_end(self):
        self.put("a", b"0123456789")
        for offset, length, expected in (
            (0, 4, b"0123"),
            (8, 100, b"89"),
            (5, None, b"56789"),
            (10, None, b""),
            (2**53 - 1, 1, b""),
        ):
            self.assertEqual(self.run_op("read", path="a", offset=offset, length=length).data, expected)

    def test_waits_for_the_outgoing_buffer(self):
        self.put("big", bytes(8 << 20))
        result = self.run_op("read", path="big")
        self.assertEqual(result.value["bytes"], 8 << 20)
        self.assertLess(result.channel.largest_buffered, 2 << 20)

    def test_takes_absolute_paths_inside_and_outside_the_workspace(self):
        self.put("d/a", b"inside")
        self.assertEqual(self.run_op("read", path=self.path("d/a")).data, b"inside")
        self.assertEqual(self.run_op("read", path=os.path.join(self.outside, "canary")).data, b"canary")

    def test_names_what_is_wrong_with_a_path(self):
        self.put("file", b"x")
        os.mkdir(self.path("folder"))
        for path, code in (
            ("missing", "not_found"),
            ("missing/x", "not_found"),
            ("file/x", "not_a_directory"),
            ("folder", "is_a_directory"),
            (".", "is_a_directory"),
            ("a/../file", "invalid"),
            ("../outside/canary", "invalid"),
            (self.workspace + "/../outside/canary", "invalid"),
            ("n" * 256, "invalid"),
        ):
            self.assert_fails(code, "read", path=path)

    def test_stops_reading_a_file_that_shrinks(self):
        self.put("a", bytes(1 << 20))
        running = Running(self.workspace, "read", path="a")
        running.generator.send(None)
        os.truncate(self.path("a"), 1 << 18)
        running.run()
        self.assertEqual(running.value["bytes"], 1 << 18)

    def test_closes_the_file_when_the_call_is_abandoned(self):
        self.put("a", bytes(1 << 20))
        running = Running(self.workspace, "read", path="a")
        running.generator.send(None)
        running.generator.close()


class Write(FilesTest):
    def write(self, path, *frames, **fields):
        return self.done("write", [*frames, None], path=path, **fields)

    def test_creates_a_file_with_its_mode_in_spite_of_the_umask(self):
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        result = self.write("run.sh", b"#!/bin/", b"sh\n", mode=0o755)
        self.assertEqual(result, {"bytes": 10, "sha256": hashlib.sha256(b"#!/bin/sh\n").hexdigest(), "created": True})
        self.assertEqual(self.get("run.sh"), b"#!/bin/sh\n")
        self.assertEqual(os.stat(self.path("run.sh")).st_mode & 0o7777, 0o755)

    def test_drops_setuid_and_sticky_bits_of_the_mode(self):
        self.write("a", b"", mode=0o7777)
        self.assertEqual(os.stat(self.path("a")).st_mode & 0o7777, 0o777)

    def test_truncates_and_keeps_inode_and_mode_of_an_existing_file(self):
        self.put("a", b"a long text", 0o700)
        inode = os.stat(self.path("a")).st_ino
        self.assertFalse(self.write("a", b"short")["created"])
        info = os.stat(self.path("a"))
        self.assertEqual((self.get("a"), info.st_ino, info.st_mode & 0o777), (b"short", inode, 0o700))

    def test_appends_and_writes_at_an_offset(self):
        self.put("a", b"0123456789")
        self.write("a", b"AB", append=True)
        self.write("a", b"xx", offset=3)
        self.write("a", b"end", offset=14)
        self.assertEqual(self.get("a"), b"012xx56789AB\0\0end")
        self.assert_fails("invalid", "write", [None], path="a", append=True, offset=1)

    def test_creates_parents_only_when_asked(self):
        self.assert_fails("not_found", "write", [b"x", None], path="p/q/r")
        self.write("p/q/r", b"x", parents=True)
        self.assertEqual(self.get("p/q/r"), b"x")

    def test_refuses_an_existing_name_when_exclusive(self):
        self.put("a", b"old")
        os.symlink("nowhere", self.path("dangling"))
        for name in ("a", "dangling"):
            self.assert_fails("exists", "write", [b"x", None], path=name, exclusive=True)
        self.assertEqual(self.get("a"), b"old")
        self.assertFalse(os.path.exists(self.path("nowhere")))

    def test_hashes_large_streams_like_small_ones(self):
        content = os.urandom(2_500_000)
        frames = [content[i : i + 700_000] for i in range(0, len(content), 700_000)]
        self.assertEqual(self.write("big", *frames)["sha256"], hashlib.sha256(content).hexdigest())
        self.assertEqual(self.get("big"), content)

    def test_makes_a_second_writer_of_the_same_file_busy(self):
        first = Running(self.workspace, "write", path="a")
        first.generator.send(None)
        first.generator.send(b"one")
        os.link(self.path("a"), self.path("b"))
        for name in ("a", "b"):
            self.assert_fails("busy", "write", [b"two", None], path=name)
        first.generator.close()
        self.write("b", b"two")
        self.assertEqual(self.get("a"), b"two")

    def test_needs_a_name(self):
        for path in (".", "d/", "d/.", "/", self.workspace, self.workspace + "/"):
            self.assert_fails("invalid", "write", [None], path=path)

    def test_stops_at_a_control_frame_and_keeps_what_came(self):
        self.assert_fails("invalid", "write", [b"part", {"op": "cancel"}], path="a")
        self.assertEqual(self.get("a"), b"part")


class FileSize(FilesTest):
    def test_reports_the_size_limit_as_no_space(self):
        import resource

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        try:
            message = self.assert_fails("no_space", "write", [bytes(8000), bytes(8000), None], path="a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertIn("after 8000 bytes", message)


if __name__ == "__main__":
    unittest.main()
