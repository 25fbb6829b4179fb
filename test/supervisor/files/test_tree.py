"""list, stat, mkdir, move, remove and hash_tree."""

import os
import unittest
from types import SimpleNamespace

from driver import FilesTest, Running, remove_tree

from files import MODULES, load_module
from files.access import modes
from files.entries import describe_entry

NOBODY = 65534


class AsNobody(FilesTest):
    """Mode bits mean nothing to root, so these run with another effective uid."""

    def setUp(self):
        super().setUp()
        if os.geteuid() == 0:
            for module in set(MODULES.values()):  # a clone may lie in a folder of root's
                load_module(module)
            os.chown(self.workspace, NOBODY, NOBODY)
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
            self.addCleanup(os.setegid, 0)
            self.addCleanup(os.seteuid, 0)


class ListAndStat(FilesTest):
    def test_describe_files_folders_and_links(self):
        self.put("b/file", b"12345", 0o640)
        os.symlink("b/file", self.path("a"))
        os.utime(self.path("b/file"), ns=(0, 1_700_000_000_123_456_789))
        result = self.run_op("list", path=".", depth=2)
        self.assertEqual([line["path"] for line in result.lines], ["a", "b", "b/file"])
        self.assertEqual(result.value, {"entries": 3, "truncated": False})
        link, folder, file = result.lines
        self.assertEqual((link["type"], link["target"]), ("symlink", "b/file"))
        self.assertEqual((folder["type"], folder["mode"], folder["target"]), ("dir", 0o755, None))
        expected = {
            "path": "b/file",
            "type": "file",
            "size": 5,
            "mode": 0o640,
            "mtime_ms": 1_700_000_000_123,
            "target": None,
        }
        self.assertEqual(file, expected)
        self.assertEqual(self.done("stat", path="b/file")["entry"], expected)
        self.assertEqual(self.done("stat", path=self.path("b/file"))["entry"], expected)
        self.assertEqual(self.done("stat", path=".")["entry"]["type"], "dir")

    def test_times_that_are_no_date_are_listed_as_the_last_or_the_first_one(self):
        far = 1 << 62
        entry = describe_entry("x", SimpleNamespace(st_mode=0o100644, st_size=0, st_mtime_ns=far * 1_000_000_000), None)
        self.assertEqual(entry["mtime_ms"], 8_640_000_000_000_000)
        entry = describe_entry(
            "x", SimpleNamespace(st_mode=0o100644, st_size=0, st_mtime_ns=-far * 1_000_000_000), None
        )
        self.assertEqual(entry["mtime_ms"], -8_640_000_000_000_000)

    def test_stop_at_the_depth_and_at_the_limit(self):
        self.put("a/b/c/d")
        self.assertEqual(len(self.run_op("list", path=".", depth=1).lines), 1)
        self.assertEqual(len(self.run_op("list", path="a", depth=2).lines), 2)
        for i in range(30):
            self.put(f"many/{i:02}")
        result = self.run_op("list", path="many", limit=10)
        self.assertEqual((len(result.lines), result.value), (10, {"entries": 10, "truncated": True}))
        self.assertFalse(self.done("list", path="many", limit=30)["truncated"])

    def test_page_a_large_folder_with_turns_for_other_work(self):
        for i in range(3000):
            os.close(os.open(self.path(f"{i}-" + "x" * 200), os.O_CREAT))
        result = self.run_op("list", path=".", limit=10_000)
        self.assertEqual(len(result.lines), 3000)
        self.assertLessEqual(max(map(len, result.channel.data)), 1 << 18)
        self.assertGreater(result.steps, 5)

    def test_report_paths_outside_the_workspace_as_absolute(self):
        lines = self.run_op("list", path=self.outside).lines
        self.assertEqual([line["path"] for line in lines], [os.path.join(self.outside, "canary")])


class LockedFolders(AsNobody):
    def test_are_listed_but_not_entered(self):
        self.put("locked/x")
        self.put("open/y")
        self.put("unsearchable/z")
        os.chmod(self.path("locked"), 0)
        os.chmod(self.path("unsearchable"), 0o400)
        lines = self.run_op("list", path=".", depth=5).lines
        self.assertEqual([line["path"] for line in lines], ["locked", "open", "open/y", "unsearchable"])

    def test_are_removed_with_what_they_hold(self):
        self.put("top/locked/inner/file")
        self.put("top/readonly/file")
        os.chmod(self.path("top/locked/inner"), 0)
        os.chmod(self.path("top/locked"), 0)
        os.chmod(self.path("top/readonly"), 0o500)
        self.assertEqual(self.done("remove", path="top", recursive=True), {"removed": 6})
        self.assertEqual(os.listdir(self.workspace), [])

    def test_are_removed_on_kernels_without_fchmodat2(self):
        self.addCleanup(setattr, modes, "FCHMODAT2", modes.FCHMODAT2)
        modes.FCHMODAT2 = modes.Long(1_000_000)
        self.put("top/locked/file")
        os.chmod(self.path("top/locked"), 0)
        self.assertEqual(self.done("remove", path="top", recursive=True), {"removed": 3})

    def test_below_a_swapped_link_are_never_unlocked(self):
        secret = self.path("secret")
        os.mkdir(secret, 0)
        os.mkdir(self.path("top"))
        os.symlink(secret, self.path("top/link"))
        self.done("remove", path="top", recursive=True)
        parent_fd = os.open(self.workspace, os.O_RDONLY)
        os.symlink("secret", self.path("swapped"))
        self.assertRaises(OSError, modes.unlock, parent_fd, "swapped")
        os.close(parent_fd)
        self.assertEqual(os.stat(secret).st_mode & 0o777, 0)

    def test_fail_archives_and_tree_digests_by_name(self):
        self.put("locked/x")
        os.chmod(self.path("locked"), 0)
        for op in ("tar_out", "hash_tree"):
            self.assert_fails("permission", op, path=".")

    @unittest.skipUnless(os.getuid() == 0, "needs a second user")
    def test_of_others_stay(self):
        self.assert_fails("permission", "write", [b"x", None], path=os.path.join(self.outside, "x"))
        self.assert_fails("permission", "remove", path=os.path.join(self.outside, "canary"))
        self.assert_fails("permission", "mkdir", path=os.path.join(self.outside, "x"))
        self.assert_canary()


class MakeAndMove(FilesTest):
    def test_mkdir_says_whether_it_created(self):
        self.assertEqual(self.done("mkdir", path="a"), {"created": True})
        self.assert_fails("exists", "mkdir", path="a")
        self.assertEqual(self.done("mkdir", path="a", parents=True), {"created": False})
        self.assert_fails("not_found", "mkdir", path="x/y")
        self.assertEqual(self.done("mkdir", path="x/y/z", parents=True), {"created": True})
        self.put("file")
        self.assert_fails("not_a_directory", "mkdir", path="file/y", parents=True)
        self.assert_fails("not_a_directory", "mkdir", path="file", parents=True)
        self.assert_fails("exists", "mkdir", path="file")

    def test_move_renames_and_replaces_files(self):
        self.put("a", b"a")
        self.put("b", b"b")
        os.mkdir(self.path("d"))
        self.assertEqual(self.done("move", **{"from": "a", "to": "b"}), {})
        self.assertEqual((os.listdir(self.workspace).count("a"), self.get("b")), (0, b"a"))
        self.done("move", **{"from": "b", "to": self.path("d/c")})
        self.assertEqual(self.get("d/c"), b"a")

    def test_move_names_what_is_wrong(self):
        self.put("a")
        self.put("d/x")
        self.put("e/x")
        for source, target, code in (
            ("missing", "x", "not_found"),
            ("a", "missing/x", "not_found"),
            ("a", "d", "is_a_directory"),
            ("d", "e", "not_empty"),
            ("d", "d/y", "invalid"),
        ):
            self.assert_fails(code, "move", **{"from": source, "to": target})

    def test_move_takes_a_link_not_what_it_points_to(self):
        os.symlink("../outside/canary", self.path("link"))
        self.done("move", **{"from": "link", "to": "moved"})
        self.assertEqual(os.readlink(self.path("moved")), "../outside/canary")
        self.assert_canary()


class Remove(FilesTest):
    def test_takes_one_entry_or_a_tree(self):
        self.put("a/b/c")
        self.put("file")
        os.mkdir(self.path("empty"))
        self.assert_fails("not_empty", "remove", path="a")
        self.assert_fails("not_found", "remove", path="missing")
        self.assertEqual(self.done("remove", path="file"), {"removed": 1})
        self.assertEqual(self.done("remove", path="empty"), {"removed": 1})
        self.assertEqual(self.done("remove", path="a", recursive=True), {"removed": 3})
        self.assertEqual(os.listdir(self.workspace), [])

    def test_removes_links_and_leaves_what_they_point_to(self):
        os.mkdir(self.path("tree"))
        os.symlink(self.outside, self.path("tree/link"))
        os.symlink("/etc/passwd", self.path("tree/passwd"))
        self.assertEqual(self.done("remove", path="tree", recursive=True), {"removed": 3})
        self.assert_canary()

    def test_takes_trees_of_any_depth_with_few_descriptors(self):
        fd = os.open(self.workspace, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=fd)
            next_fd = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(os.open("f", os.O_CREAT, dir_fd=next_fd))
            os.close(fd)
            fd = next_fd
        os.close(fd)
        result = self.run_op("remove", path="d", recursive=True)
        self.assertEqual(result.value, {"removed": 3000})
        self.assertGreater(result.steps, 5)
        self.assertEqual(os.listdir(self.workspace), [])

    def test_takes_folders_with_more_names_than_a_batch(self):
        os.mkdir(self.path("many"))
        for i in range(5000):
            os.close(os.open(self.path(f"many/{i}"), os.O_CREAT))
        self.assertEqual(self.done("remove", path="many", recursive=True), {"removed": 5001})

    def test_leaves_the_canary_when_a_folder_is_swapped_for_a_link_meanwhile(self):
        for i in range(600):
            self.put(f"tree/a{i}/canary")
        running = Running(self.workspace, "remove", path="tree", recursive=True)
        running.generator.send(None)
        for name in os.listdir(self.path("tree")):
            os.rename(self.path(f"tree/{name}"), self.path(f"moved-{name}"))
            os.symlink(self.outside, self.path(f"tree/{name}"))
        running.run()
        self.assert_canary()
        self.assertFalse(os.path.exists(self.path("tree")))


class HashTree(FilesTest):
    def digest(self):
        return self.done("hash_tree", path=".")

    def test_is_equal_for_equal_trees_whenever_they_were_made(self):
        def fill(root):
            os.makedirs(self.path(f"{root}/b"))
            self.put(f"{root}/b/x", b"content", 0o600)
            self.put(f"{root}/a", b"")
            os.symlink("b/x", self.path(f"{root}/link"))

        fill("one")
        fill("two")
        os.utime(self.path("two/a"), (1, 1))
        one = self.done("hash_tree", path="one")
        self.assertEqual(one, self.done("hash_tree", path="two"))
        self.assertEqual((one["entries"], one["bytes"]), (4, 7))

    def test_changes_with_path_type_mode_content_and_target(self):
        self.put("a", b"x")
        os.mkdir(self.path("d"))
        os.symlink("a", self.path("l"))
        seen = {self.digest()["sha256"]}
        for change in (
            lambda: os.rename(self.path("a"), self.path("b")),
            lambda: os.chmod(self.path("b"), 0o600),
            lambda: self.put("b", b"y", 0o600),
            lambda: (os.rmdir(self.path("d")), self.put("d", b"", 0o755)),
            lambda: (os.unlink(self.path("l")), os.symlink("b", self.path("l"))),
            lambda: (os.unlink(self.path("l")), self.put("l", b"b", 0o777)),
        ):
            change()
            digest = self.digest()["sha256"]
            self.assertNotIn(digest, seen)
            seen.add(digest)

    def test_refuses_trees_that_are_too_deep_to_walk(self):
        os.makedirs(self.path("d/" * 200))
        self.assert_fails("invalid", "hash_tree", path=".")
        self.assert_fails("invalid", "tar_out", path=".")
        remove_tree(self.path("d"))


if __name__ == "__main__":
    unittest.main()
