import hashlib
import os
import time
import unittest

from driver import FilesTest, Running
from test_tree import AsNobody

from files.changes import baseline


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class DiffTest(FilesTest):
    def setUp(self):
        super().setUp()
        self.done("snapshot")

    def diff(self, **fields):
        """Lines as (kind, path, type), and the whole run."""
        result = self.run_op("diff", **fields)
        self.assertEqual(result.value["entries"], len(result.lines))
        return [(line["kind"], line["path"], line["type"]) for line in result.lines], result


class Diff(DiffTest):
    def test_is_empty_when_nothing_changed(self):
        self.put("a/b", b"x")
        self.diff()
        self.assertEqual(self.diff()[0], [])

    def test_lists_created_modified_and_deleted_files_with_size_and_digest(self):
        self.put("kept", b"kept")
        self.put("changed", b"old")
        self.put("gone", b"12345")
        self.done("snapshot")
        self.put("changed", b"new content")
        self.put("d/new", b"hello")
        os.unlink(self.path("gone"))
        lines = self.run_op("diff").lines
        self.assertEqual(
            lines,
            [
                {
                    "kind": "modified",
                    "path": "changed",
                    "type": "file",
                    "size": 11,
                    "sha256": sha256(b"new content"),
                    "files": None,
                },
                {
                    "kind": "created",
                    "path": "d/new",
                    "type": "file",
                    "size": 5,
                    "sha256": sha256(b"hello"),
                    "files": None,
                },
                {"kind": "deleted", "path": "gone", "type": "file", "size": 5, "sha256": None, "files": None},
            ],
        )

    def test_sees_a_change_of_the_same_size_and_restored_time(self):
        self.put("a", b"one")
        info = os.stat(self.path("a"))
        self.done("snapshot")
        time.sleep(0.01)  # file times of older kernels move in ticks of up to 10 ms
        self.put("a", b"two")
        os.utime(self.path("a"), ns=(info.st_atime_ns, info.st_mtime_ns))
        self.assertEqual(self.diff()[0], [("modified", "a", "file")])

    def test_shows_a_rename_as_deletion_and_creation(self):
        self.put("old", b"x")
        self.put("dir/inner", b"y")
        self.done("snapshot")
        os.rename(self.path("old"), self.path("new"))
        os.rename(self.path("dir"), self.path("moved"))
        self.assertEqual(
            self.diff()[0],
            [
                ("deleted", "dir", "dir"),
                ("deleted", "dir/inner", "file"),
                ("created", "moved/inner", "file"),
                ("created", "new", "file"),
                ("deleted", "old", "file"),
            ],
        )

    def test_lists_new_folders_only_when_empty_and_gone_ones_always(self):
        os.makedirs(self.path("outer/empty"))
        self.put("full/file")
        self.assertEqual(self.diff()[0], [("created", "full/file", "file"), ("created", "outer/empty", "dir")])
        os.unlink(self.path("full/file"))
        os.rmdir(self.path("outer/empty"))
        os.rmdir(self.path("outer"))
        self.assertEqual(
            self.diff()[0],
            [("deleted", "full/file", "file"), ("deleted", "outer", "dir"), ("deleted", "outer/empty", "dir")],
        )

    def test_lists_modes_and_types_that_changed(self):
        self.put("run")
        os.mkdir(self.path("d"))
        self.put("becomes-dir")
        self.put("becomes-file/x")
        self.put("becomes-link")
        self.done("snapshot")
        os.chmod(self.path("run"), 0o755)
        os.chmod(self.path("d"), 0o700)
        os.unlink(self.path("becomes-dir"))
        self.put("becomes-dir/x")
        os.unlink(self.path("becomes-file/x"))
        os.rmdir(self.path("becomes-file"))
        self.put("becomes-file")
        os.unlink(self.path("becomes-link"))
        os.symlink("run", self.path("becomes-link"))
        self.assertEqual(
            self.diff()[0],
            [
                ("modified", "becomes-dir", "dir"), ("created", "becomes-dir/x", "file"),
                ("modified", "becomes-file", "file"), ("deleted", "becomes-file/x", "file"),
                ("modified", "becomes-link", "symlink"), ("modified", "d", "dir"), ("modified", "run", "file"),
            ],
        )  # fmt: skip

    def test_never_follows_links_or_opens_special_files(self):
        os.symlink(self.outside, self.path("link"))
        os.mkfifo(self.path("fifo"))
        _, result = self.diff()
        self.assertEqual(
            [(line["type"], line["sha256"]) for line in result.lines], [("other", None), ("symlink", None)]
        )

    def test_takes_everything_as_new_without_a_snapshot(self):
        self.put("a")
        other = os.path.dirname(self.workspace)
        self.workspace, first = other, self.workspace
        self.assertEqual(len(self.run_op("diff").lines), 2)
        self.workspace = first

    def test_shows_package_trees_as_one_entry(self):
        self.put("node_modules/a/index.js", b"12345")
        self.put("node_modules/b/index.js", b"123")
        self.put("env/pyvenv.cfg", b"x")
        self.put("env/lib/site.py", b"yy")
        self.put("pkg/__pycache__/m.pyc", b"z")
        self.put(".git/HEAD", b"ref")
        lines = self.run_op("diff").lines
        self.assertEqual({line["kind"] for line in lines}, {"created"})
        self.assertEqual(
            [(line["path"], line["type"], line["size"], line["files"]) for line in lines],
            [
                (".git", "tree", 3, 1),
                ("env", "tree", 3, 2),
                ("node_modules", "tree", 8, 2),
                ("pkg/__pycache__", "tree", 1, 1),
            ],
        )
        self.assertEqual(self.diff()[0], [])
        os.unlink(self.path("node_modules/b/index.js"))
        os.rmdir(self.path("node_modules/b"))
        os.unlink(self.path(".git/HEAD"))
        os.rmdir(self.path(".git"))
        self.assertEqual(self.diff()[0], [("deleted", ".git", "tree"), ("modified", "node_modules", "tree")])

    def test_never_lists_its_own_folder(self):
        self.put(".paddock/out/c1.stdout", b"x")
        self.put("sub/.paddock/file", b"x")
        self.assertEqual(self.diff()[0], [("created", "sub/.paddock/file", "file")])

    def test_takes_the_workspace_itself_as_a_folder_even_with_a_virtual_environment_in_it(self):
        self.put("pyvenv.cfg")
        self.assertEqual(self.diff()[0], [("created", "pyvenv.cfg", "file")])

    def test_percent_encodes_names_that_are_not_utf8(self):
        with open(os.fsencode(self.workspace) + b"/a\xff", "wb"):
            pass
        self.assertEqual(self.diff()[0], [("created", "a%FF", "file")])


class DiffLimits(DiffTest):
    def test_counts_what_is_beyond_max_files(self):
        for i in range(25):
            self.put(f"f{i:02}")
        lines, result = self.diff(max_files=10)
        self.assertEqual((len(lines), result.value), (10, {"entries": 10, "more": 15}))
        self.assertEqual(self.diff()[0], [])

    def test_stops_hashing_when_the_bytes_are_used_up(self):
        for i in range(3):
            self.put(f"f{i}", bytes(1000))
        lines = self.run_op("diff", max_hash_bytes=2500).lines
        self.assertEqual(sum(line["sha256"] == sha256(bytes(1000)) for line in lines), 2)
        self.assertEqual(sum(line["sha256"] is None for line in lines), 1)

    def test_hashes_large_files_in_steps(self):
        content = os.urandom(6_000_000)
        self.put("big", content)
        result = self.run_op("diff")
        self.assertEqual(result.lines[0]["sha256"], sha256(content))
        self.assertGreater(result.steps, 4)

    def test_pages_its_lines(self):
        for i in range(2000):
            os.close(os.open(self.path(f"{i}-" + "x" * 200), os.O_CREAT))
        _, result = self.diff(max_files=5000)
        self.assertEqual(len(result.lines), 2000)
        self.assertLessEqual(max(map(len, result.channel.data)), 1 << 18)
        self.assertGreater(len(result.channel.data), 2)

    def test_counts_entries_beyond_the_bound_and_invents_no_deletions(self):
        self.addCleanup(setattr, baseline, "MAX_ENTRIES", baseline.MAX_ENTRIES)
        for i in range(3000):
            os.close(os.open(self.path(f"{i}"), os.O_CREAT))
        self.done("snapshot")
        baseline.MAX_ENTRIES = 2000
        lines, result = self.diff()
        self.assertEqual((lines, result.value["more"]), ([], 3000 - 2048))

    def test_counts_folders_that_are_too_deep(self):
        path = self.path("d/" * 140)
        os.makedirs(path)
        self.assertEqual(self.diff()[1].value["more"], 1)

    def test_reports_a_folder_that_vanishes_during_the_walk_in_the_next_diff(self):
        for i in range(1100):
            os.close(os.open(self.path(f"{i}"), os.O_CREAT))
        self.put("folder/file")
        self.done("snapshot")
        running = Running(self.workspace, "diff")
        running.generator.send(None)
        os.unlink(self.path("folder/file"))
        os.rmdir(self.path("folder"))
        running.run()
        seen = running.lines + self.run_op("diff").lines
        self.assertEqual(
            [(line["kind"], line["path"]) for line in seen], [("deleted", "folder"), ("deleted", "folder/file")]
        )

    def test_keeps_the_old_baseline_when_the_call_is_abandoned(self):
        for i in range(2000):
            os.close(os.open(self.path(f"{i}"), os.O_CREAT))
        running = Running(self.workspace, "diff")
        running.generator.send(None)
        running.generator.close()
        self.assertEqual(self.diff()[1].value, {"entries": 1000, "more": 1000})


class DiffOfLockedFolders(AsNobody):
    def test_counts_what_it_cannot_look_into_and_takes_it_as_unchanged(self):
        self.put("shut/inner/file")
        self.put("unsearchable/file")
        self.put("unreadable-file", b"secret")
        self.done("snapshot")
        os.chmod(self.path("shut"), 0)
        os.chmod(self.path("unsearchable"), 0o400)
        os.chmod(self.path("unreadable-file"), 0)
        result = self.run_op("diff")
        self.assertEqual(
            [(line["kind"], line["path"], line["sha256"]) for line in result.lines],
            [("modified", "shut", None), ("modified", "unreadable-file", None), ("modified", "unsearchable", None)],
        )
        self.assertEqual(result.value["more"], 2)
        os.chmod(self.path("shut"), 0o755)
        os.chmod(self.path("unsearchable"), 0o755)
        os.unlink(self.path("shut/inner/file"))
        self.assertIn("shut/inner/file", [line["path"] for line in self.run_op("diff").lines])


if __name__ == "__main__":
    unittest.main()
