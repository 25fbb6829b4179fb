import os
import unittest

from driver import FilesTest, OpError, wait_readable
from test_tree import AsNobody

from files import watch


class WatchTest(FilesTest):
    def watch(self, *acts, path=".", recursive=True):
        """Acts one after another, each when the events of the one before have come; returns the events as (kind,
        path)."""
        pending = list(acts)
        waiting_for = []

        def on_event(running, fd):
            seen = self.seen(running)
            if not all(event in seen for event in waiting_for):
                wait_readable(fd)
                return True
            if not pending:
                running.frames = iter([{"op": "cancel"}])
                return False
            act, awaited = pending.pop(0)
            act()
            waiting_for[:] = awaited
            return on_event(running, fd)

        result = self.run_op("watch", on_event=on_event, path=path, recursive=recursive)
        self.assertEqual(result.value, {"events": len(result.channel.events)})
        return self.seen(result)

    def seen(self, running):
        for event in running.channel.events:
            self.assertEqual(event["op"], "changed")
        return [(event["kind"], event["path"]) for event in running.channel.events]


class WatchAsNobody(AsNobody, WatchTest):
    def test_works_in_a_process_that_is_not_dumpable(self):
        events = self.watch((lambda: self.put("d/a", b"x"), [("create", "d"), ("create", "d/a")]))
        self.assertIn(("create", "d/a"), events)


class Watch(WatchTest):
    def test_ends_on_cancel(self):
        self.assertEqual(self.watch(), [])

    def test_reports_creation_change_rename_and_deletion(self):
        events = self.watch(
            (lambda: self.put("a", b"x"), [("create", "a"), ("modify", "a")]),
            (lambda: os.rename(self.path("a"), self.path("b")), [("move", "a"), ("create", "b")]),
            (lambda: os.unlink(self.path("b")), [("delete", "b")]),
        )
        self.assertEqual(events, [("create", "a"), ("modify", "a"), ("move", "a"), ("create", "b"), ("delete", "b")])

    def test_follows_folders_that_are_made_moved_and_removed(self):
        self.put("old/deep/file")
        events = self.watch(
            (lambda: self.put("old/deep/file", b"x"), [("modify", "old/deep/file")]),
            (
                lambda: self.put("new/sub/file", b"x"),
                [("create", "new"), ("create", "new/sub"), ("create", "new/sub/file")],
            ),
            (lambda: self.put("new/sub/later", b"x"), [("create", "new/sub/later")]),
            (lambda: os.rename(self.path("new"), self.path("moved")), [("move", "new"), ("create", "moved/sub/later")]),
            (lambda: self.put("moved/sub/last", b"x"), [("create", "moved/sub/last")]),
            (lambda: os.rename(self.path("moved"), os.path.join(self.outside, "gone")), [("move", "moved")]),
            (lambda: os.unlink(os.path.join(self.outside, "gone/sub/last")), []),
            (lambda: self.put("end"), [("create", "end")]),
        )
        self.assertFalse([path for _, path in events if "gone" in path])

    def test_looks_at_one_folder_only_when_not_recursive(self):
        self.put("d/below")
        events = self.watch(
            (lambda: self.put("d/below", b"x"), []),
            (lambda: self.put("d/new", b"x"), []),
            (lambda: self.put("here"), [("create", "here")]),
            recursive=False,
        )
        self.assertEqual({path for _, path in events}, {"here"})

    def test_watches_one_file(self):
        self.put("d/file", b"x")
        events = self.watch(
            (lambda: self.put("d/file", b"changed"), [("modify", "d/file")]),
            (lambda: os.unlink(self.path("d/file")), [("delete", "d/file")]),
            path="d/file",
        )
        self.assertEqual({path for _, path in events}, {"d/file"})

    def test_reports_a_burst_of_the_same_change_once(self):
        self.put("log")

        def storm():
            with (
                open(self.path("log"), "ab", buffering=0) as first,
                open(self.path("other"), "ab", buffering=0) as second,
            ):
                for _ in range(500):
                    first.write(b"x")
                    second.write(b"x")

        events = self.watch((storm, [("modify", "log"), ("modify", "other")]))
        self.assertLessEqual(len(events), 20)

    def test_says_look_again_when_events_were_lost(self):
        with open("/proc/sys/fs/inotify/max_queued_events") as file:
            limit = int(file.read())

        def overflow():
            for _ in range(limit // 2 + 100):
                os.close(os.open(self.path("t"), os.O_CREAT))
                os.unlink(self.path("t"))

        events = self.watch((overflow, [("modify", ".")]), (lambda: self.put("after"), [("create", "after")]))
        self.assertIn(("modify", "."), events)

    def test_does_not_look_behind_links(self):
        os.symlink(self.outside, self.path("link"))
        events = self.watch(
            (lambda: os.symlink(self.outside, self.path("new")), [("create", "new")]),
            (lambda: self.put_outside("canary", b"canary"), []),
            (lambda: self.put("end"), [("create", "end")]),
        )
        self.assertEqual([event for event in events if event[1] != "end"], [("create", "new")])

    def test_is_bounded(self):
        self.addCleanup(setattr, watch, "MAX_WATCHES", watch.MAX_WATCHES)
        watch.MAX_WATCHES = 10
        for i in range(9):
            os.mkdir(self.path(f"d{i}"))
        self.watch()
        os.mkdir(self.path("one-more"))
        with self.assertRaises(OpError) as caught:
            self.watch()
        self.assertEqual(caught.exception.code, "unavailable")


if __name__ == "__main__":
    unittest.main()
