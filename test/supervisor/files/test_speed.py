"""Prints what the operations cost. The bounds are several times the targets: they catch a change of order, not a busy
machine.
"""

import hashlib
import os
import time
import unittest

from driver import FilesTest, Running

MIB = 1 << 20


class Speed(FilesTest):
    def best_ms(self, act, repeats):
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            act()
            best = min(best, (time.perf_counter() - start) * 1000)
        return best

    def report(self, what, value_ms, bound_ms, size_bytes=0):
        rate = f", {size_bytes / MIB / value_ms * 1000:.0f} MiB/s" if size_bytes else ""
        print(f"files: {what}: {value_ms:.2f} ms{rate}", flush=True)
        self.assertLess(value_ms, bound_ms)

    def fill(self, count):
        for i in range(count):
            self.put(f"d{i // 100}/f{i}", b"x" * (i % 500))

    def test_of_snapshot_and_diff(self):
        for count, bound_ms in ((100, 3), (10_000, 200)):
            self.workspace, base = os.path.join(self.workspace, str(count)), self.workspace
            os.mkdir(self.workspace)
            self.fill(count)
            self.report(f"snapshot of {count} files", self.best_ms(lambda: self.done("snapshot"), 5), bound_ms)
            self.report(f"diff of {count} unchanged files", self.best_ms(lambda: self.done("diff"), 20), bound_ms)

            def change():
                for i in range(10):
                    with open(self.path(f"d0/f{i}"), "ab") as file:
                        file.write(b"more")
                self.assertEqual(self.done("diff")["entries"], 10)

            self.report(f"10 writes and the diff of {count} files", self.best_ms(change, 5), bound_ms)
            self.workspace = base

    def test_of_large_files(self):
        size = 64 * MIB
        content = os.urandom(size)
        frames = [content[i : i + MIB] for i in range(0, size, MIB)]
        digest = hashlib.sha256(content).hexdigest()
        self.report(
            "write 64 MiB", self.best_ms(lambda: self.done("write", [*frames, None], path="big"), 3), 3000, size
        )
        value_ms = self.best_ms(lambda: self.assertEqual(self.drop("read", path="big")["sha256"], digest), 3)
        self.report("read 64 MiB", value_ms, 3000, size)
        os.mkdir(self.path("from"))
        os.mkdir(self.path("to"))
        os.rename(self.path("big"), self.path("from/big"))
        self.report("tar_out 64 MiB", self.best_ms(lambda: self.drop("tar_out", path="from"), 3), 3000, size)
        archive = self.run_op("tar_out", path="from").data
        frames = [archive[i : i + MIB] for i in range(0, len(archive), MIB)]
        self.report(
            "tar_in 64 MiB",
            self.best_ms(lambda: self.done("tar_in", [*frames, None], path="to", links="inside"), 3),
            3000,
            size,
        )
        self.report("hash_tree 64 MiB", self.best_ms(lambda: self.done("hash_tree", path="from"), 3), 3000, size)

    def drop(self, op, **fields):
        """Runs an operation whose data goes nowhere."""
        running = Running(self.workspace, op, **fields)
        running.channel.send = lambda kind, payload: None
        return running.run().value

    def test_of_small_calls(self):
        self.put("a", b"x" * 100)
        self.report("read 100 bytes", self.best_ms(lambda: self.done("read", path="a"), 50), 5)
        self.report("write 100 bytes", self.best_ms(lambda: self.done("write", [b"x" * 100, None], path="a"), 50), 5)


class SpeedInMemory(Speed):
    """Creating a file on a disk costs ten times what the operation does."""

    temporary = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    test_of_snapshot_and_diff = test_of_large_files = test_of_small_calls = None

    def test_of_many_small_files(self):
        os.mkdir(self.path("to"))
        self.workspace, base = self.path("from"), self.workspace
        os.mkdir(self.workspace)
        self.fill(2000)
        self.workspace = base
        self.report("tar_out of 2,000 small files", self.best_ms(lambda: self.drop("tar_out", path="from"), 3), 2000)
        archive = self.run_op("tar_out", path="from").data
        self.report(
            "tar_in of 2,000 small files",
            self.best_ms(lambda: self.done("tar_in", [archive, None], path="to", links="inside"), 3),
            4000,
        )
        self.report(
            "remove of 2,000 small files", self.best_ms(lambda: self.done("remove", path="to", recursive=True), 1), 4000
        )


if __name__ == "__main__":
    unittest.main()
