"""What a planted link, device or odd name can and cannot do."""

import os
import socket
import stat
import unittest

from driver import FilesTest

from files.access import openat2 as native
from files.access import paths


class Links(FilesTest):
    def test_follows_links_that_stay_in_the_workspace(self):
        self.put("d/file", b"content")
        os.symlink("d", self.path("folder"))
        os.symlink("d/file", self.path("link"))
        os.symlink("../d/file", self.path("d/up"))
        os.symlink(self.path("d/file"), self.path("absolute"))
        for path in ("link", "folder/file", "folder/up", "absolute"):
            self.assertEqual(self.run_op("read", path=path).data, b"content", path)
        self.assertEqual(self.done("list", path="folder")["entries"], 2)
        self.done("write", [b"new", None], path="absolute")
        self.assertEqual(self.get("d/file"), b"new")

    def test_writes_through_a_dangling_link_only_inside(self):
        os.mkdir(self.path("d"))
        os.symlink("d/new", self.path("dangling"))
        os.symlink(os.path.join(self.outside, "planted"), self.path("leaving"))
        self.assertTrue(self.done("write", [b"x", None], path="dangling")["created"])
        self.assertEqual(self.get("d/new"), b"x")
        self.assert_fails("refused", "write", [b"x", None], path="leaving")
        self.assert_canary()

    def test_refuses_every_other_link_for_every_operation(self):
        for name, target in (
            ("passwd", "/etc/passwd"),
            ("canary", "../outside/canary"),
            ("outside", "../outside"),
            ("absolute", self.outside),
            ("root", "/"),
            ("fd", "/proc/self/fd/3"),
            ("magic", "/proc/self/root"),
            ("prefix", self.workspace + "-other"),
            ("tricky", self.workspace + "/../outside"),
        ):
            os.symlink(target, self.path(name))
            for op, frames in (
                ("read", ()),
                ("write", [b"x", None]),
                ("list", ()),
                ("tar_in", [None]),
                ("tar_out", ()),
                ("hash_tree", ()),
                ("watch", ()),
            ):
                extra = {"links": "inside"} if op == "tar_in" else {}
                self.assert_fails("refused", op, frames, path=name, **extra)
            for op in ("mkdir", "remove"):
                self.assert_fails("refused", op, path=f"{name}/x")
            self.assert_fails("refused", "stat", path=f"{name}/x")
            self.assert_fails("refused", "write", [b"x", None], path=f"{name}/a/b", parents=True)
            self.assert_fails("refused", "move", **{"from": f"{name}/canary", "to": "here"})
            self.assert_fails("refused", "move", **{"from": name, "to": f"{name}/x"})
            self.assertEqual(self.done("stat", path=name)["entry"]["target"], target)
            self.assertEqual(self.done("remove", path=name, recursive=True), {"removed": 1})
        self.assert_canary()

    def test_gives_up_on_loops_and_long_chains(self):
        os.symlink("b", self.path("a"))
        os.symlink("a", self.path("b"))
        self.put("end")
        for i in range(100):
            os.symlink(f"chain{i + 1}" if i < 99 else "end", self.path(f"chain{i}"))
        for path in ("a", "a/x", "chain0"):
            self.assert_fails("refused", "read", path=path)

    def test_never_follows_magic_links_or_reads_kernel_trees(self):
        for path in (
            "/proc/self/fd/1",
            "/proc/self/root/etc/passwd",
            "/proc/self/environ",
            "/proc/self/mem",
            "/proc/version",
            "/sys/kernel/notes",
            "/proc/self/cwd",
        ):
            self.assert_fails("refused", "read", path=path)
            self.assert_fails("refused", "stat", path=path + "/x" if path.endswith("cwd") else path)
        for path in ("/proc", "/sys"):
            self.assert_fails("refused", "list", path=path)
        self.assert_fails("refused", "write", [b"x", None], path="/proc/self/comm")

    def test_lists_the_root_without_entering_kernel_trees(self):
        result = self.run_op("list", path="/", depth=1, limit=100)
        self.assertIn("/proc", [line["path"] for line in result.lines])
        below = self.run_op("list", path="/", depth=2, limit=5000).lines
        self.assertFalse([line for line in below if line["path"].startswith(("/proc/", "/sys/"))])

    def test_looks_again_when_a_folder_became_a_link_between_operations(self):
        self.put("d/canary", b"mine")
        self.assertEqual(self.run_op("read", path="d/canary").data, b"mine")
        self.done("remove", path="d", recursive=True)
        os.symlink(self.outside, self.path("d"))
        self.assert_fails("refused", "read", path="d/canary")
        self.assert_fails("refused", "write", [b"x", None], path="d/canary")
        self.assert_fails("refused", "remove", path="d/canary")
        self.assert_canary()


class WithoutOpenat2(Links):
    """The same rules hold on a kernel, or under a filter, that has no openat2."""

    def setUp(self):
        super().setUp()
        self.addCleanup(setattr, paths, "_has_openat2", True)
        self.addCleanup(setattr, native, "OPENAT2", native.OPENAT2)
        native.OPENAT2 = native.Long(1_000_000)

    def tearDown(self):
        self.assertFalse(paths._has_openat2)
        super().tearDown()


class SpecialFiles(FilesTest):
    def make(self):
        os.mkfifo(self.path("fifo"))
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(self.path("socket"))
        names = ["fifo", "socket"]
        if os.geteuid() == 0:
            os.mknod(self.path("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod(self.path("tty"), stat.S_IFCHR | 0o666, os.makedev(5, 0))
            names += ["null", "tty"]
        return names

    def test_are_never_opened_for_content_and_never_block(self):
        for name in self.make():
            self.assert_fails("not_a_file", "read", path=name)
            self.assert_fails("not_a_file", "write", [b"x", None], path=name)
            self.assert_fails("not_a_file", "watch", path=name)
            self.assert_fails("not_a_directory", "list", path=name)
            self.assertEqual(self.done("stat", path=name)["entry"]["type"], "other")

    def test_are_listed_left_out_of_archives_and_removed(self):
        names = self.make()
        self.assertEqual({line["type"] for line in self.run_op("list", path=".").lines}, {"other"})
        self.assertEqual(self.done("tar_out", path=".")["entries"], 0)
        self.assertEqual(self.done("hash_tree", path=".")["entries"], len(names))
        for name in names:
            self.done("remove", path=name)
        self.assertEqual(os.listdir(self.workspace), [])


class Names(FilesTest):
    ODD = (
        b"new\nline", b"tab\t", b"-rf", b"__proto__", b"constructor", b"%00", b"100%", b"dot.", b" ",
        "\u202ertl".encode(), b"a\\b", b"n" * 255, b"caf\xe9", b"50%\xff", b"\xff\xfe", "\u00e9".encode(),
    )  # fmt: skip

    def test_go_out_in_a_list_and_come_back_byte_for_byte(self):
        for name in self.ODD:
            with open(os.fsencode(self.workspace) + b"/" + name, "wb") as file:
                file.write(name)
        listed = [line["path"] for line in self.run_op("list", path=".").lines]
        self.assertEqual(len(listed), len(self.ODD))
        for path in listed:
            content = self.run_op("read", path=path).data
            self.assertIn(content, self.ODD)
            self.assertEqual(self.done("stat", path=path)["entry"]["path"], path)
            self.done("remove", path=path)
        self.assertEqual(os.listdir(self.workspace), [])

    def test_that_are_not_utf8_are_percent_encoded(self):
        os.mkdir(os.fsencode(self.workspace) + b"/caf\xe9 5%")
        self.put("plain%", b"")
        listed = [line["path"] for line in self.run_op("list", path=".").lines]
        self.assertEqual(listed, ["caf%E9 5%25", "plain%"])
        self.done("write", [b"x", None], path="caf%E9 5%25/new%FF")
        self.assertEqual(os.listdir(os.fsencode(self.workspace) + b"/caf\xe9 5%"), [b"new%FF"])

    def test_written_literally_win_over_encoded_ones(self):
        os.mkdir(os.fsencode(self.workspace) + b"/a\xff")
        os.mkdir(self.path("a%FF"))
        self.done("mkdir", path="a%FF/inside")
        self.assertEqual(os.listdir(self.path("a%FF")), ["inside"])

    def test_without_a_last_name_are_invalid_where_one_is_made_or_removed(self):
        os.mkdir(self.path("d"))
        for path in (".", "d/.", "d/", "/", "./", self.workspace, "d/..", "..", "d/../x"):
            self.assert_fails("invalid", "mkdir", path=path)
            self.assert_fails("invalid", "remove", path=path, recursive=True)
            self.assert_fails("invalid", "move", **{"from": path, "to": "x"})
            self.assert_fails("invalid", "move", **{"from": "d", "to": path})
        self.assertEqual(os.listdir(self.workspace), ["d"])


if __name__ == "__main__":
    unittest.main()
