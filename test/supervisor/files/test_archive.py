"""tar_in and tar_out, against each other and against Python's tarfile."""

import io
import os
import stat
import tarfile
import unittest

from driver import FilesTest, OpError, Running

from files.archive import entries
from files.archive.format import FILE, Header, encode_header


def make_archive(*entries, format=tarfile.PAX_FORMAT, pax_headers=None):
    """Entries are (name, changes to the TarInfo, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, pax_headers=pax_headers) as archive:
        for name, changes, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in changes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def cut(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)] + [None]


class ArchiveTest(FilesTest):
    def tar_in(self, data, path=".", frame_bytes=1 << 20):
        return self.done("tar_in", cut(data, frame_bytes), path=path, links="inside")

    def refused(self, data, path="."):
        message = self.assert_fails("archive_refused", "tar_in", cut(data, 1 << 20), path=path, links="inside")
        self.assert_canary()
        return message

    def describe(self, root):
        found = {}
        for folder, folders, names in os.walk(self.path(root)):
            for name in folders + names:
                path = os.path.join(folder, name)
                info = os.lstat(path)
                content = b""
                if stat.S_ISLNK(info.st_mode):
                    content = os.readlink(path)
                elif stat.S_ISREG(info.st_mode):
                    with open(path, "rb") as file:
                        content = file.read()
                found[os.path.relpath(path, self.path(root))] = (oct(info.st_mode), int(info.st_mtime), content)
        return found


class Excess(ArchiveTest):
    def test_headers_before_an_entry_are_few(self):
        extra = encode_header(Header(b"x", b"x", 0o644, 0, 0, b""))
        entry = make_archive(("a", {}, b"1"))
        self.tar_in(extra * 8 + entry)
        self.assertIn("extended headers", self.refused(extra * 3000 + entry))

    def test_a_negative_size_is_refused(self):
        for size in (b"\xff" * 12, b"\xff" + b"\0" * 11):
            block = bytearray(encode_header(Header(b"a", FILE, 0o644, 0, 0, b"")))
            block[124:136] = size
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            self.assertIn("negative size", self.refused(bytes(block) + bytes(1024)))


class Withholding(ArchiveTest):
    """The tree of a user, and what an archive would make run in it."""

    def withheld(self, *entries, allow=()):
        frames = cut(make_archive(*entries), 1 << 20)
        done = self.done("tar_in", frames, path=".", links="inside", withhold=[r"(^|/)\."], allow=list(allow))
        return done["withheld"]

    def test_links_dotfiles_and_new_execute_bits_come_only_where_they_are_allowed(self):
        entries = [
            ("a/link", {"type": tarfile.SYMTYPE, "linkname": "b"}, b""),
            ("a/.env", {}, b"x"),
            ("a/b", {"mode": 0o755}, b"x"),
            ("a/c", {"mode": 0o644}, b"x"),
            ("a/hard", {"type": tarfile.LNKTYPE, "linkname": "a/c"}, b""),
            ("out", {"type": tarfile.SYMTYPE, "linkname": "../x"}, b""),
        ]
        self.assertEqual(self.withheld(*entries), ["a/link", "a/.env", "a/b", "a/hard", "out"])
        self.assertEqual(self.withheld(*entries, allow=["a"]), ["out"])
        self.assertEqual(self.withheld(*entries, allow=["."]), ["out"])

    def test_a_file_that_was_executable_may_stay_so_and_gets_no_bit_more(self):
        self.put("tool", b"x", 0o744)
        self.assertEqual(self.withheld(("tool", {"mode": 0o744}, b"y")), [])
        self.assertEqual(self.withheld(("tool", {"mode": 0o755}, b"z")), ["tool"])

    def test_nothing_comes_into_an_environment_that_the_tree_holds(self):
        self.put("env/pyvenv.cfg", b"")
        self.put("env/lib/x.py", b"")
        self.assertEqual(self.withheld(("env/lib/x.py", {}, b"evil"), ("lib/x.py", {}, b"ok")), ["env/lib/x.py"])

    def test_a_module_that_an_import_would_find_first_stays_out(self):
        for name in ("mod.py", "lib/mod.js", "old/index.js", "code.py"):
            self.put(name, b"")
        hidden = ["mod/__init__.py", "lib/mod", "old.json", "json.py", "sub/re/__init__.py"]
        harmless = ["new/__init__.py", "lib/mod.json", "code.py", "mod.json", "lib/other"]
        self.assertEqual(self.withheld(*[(name, {}, b"x") for name in hidden + harmless]), hidden)

    def test_a_planted_link_is_not_followed_in_judging(self):
        self.put("real/pyvenv.cfg", b"")
        os.symlink("real", self.path("link"))
        self.assert_fails(
            "archive_refused",
            "tar_in",
            cut(make_archive(("link/x", {}, b"x")), 1 << 20),
            path=".",
            links="inside",
            withhold=[],
        )


class RoundTrip(ArchiveTest):
    def fill(self):
        self.put("from/empty", b"", 0o600)
        self.put("from/bin/tool", b"#!/bin/sh\n", 0o755)
        self.put("from/exact", bytes(512))
        self.put("from/big", os.urandom(3_000_001))
        self.put("from/" + "/".join("x" * 90 for _ in range(5)) + "/deep", b"deep")
        self.put("from/caf\u00e9\n" + "y" * 200, b"odd")
        self.put("from/readonly/file", b"r", 0o444)
        os.makedirs(self.path("from/nothing-in-it"))
        os.symlink("../bin/tool", self.path("from/nothing-in-it/link"))
        os.symlink("x" * 200, self.path("from/long-link"))
        with open(os.fsencode(self.path("from")) + b"/latin\xe9" + b"z" * 120, "wb") as file:
            file.write(b"latin")
        for name in ("from/bin/tool", "from/bin"):
            os.utime(self.path(name), (1_600_000_000, 1_600_000_000))
        os.chmod(self.path("from/readonly"), 0o555)
        os.mkdir(self.path("to"))

    def test_gives_the_same_tree_with_modes_times_and_links(self):
        self.fill()
        out = self.run_op("tar_out", path="from")
        for frame_bytes in (1 << 20, 1000, 512):
            os.makedirs(self.path("to"), exist_ok=True)
            result = self.tar_in(out.data, "to", frame_bytes)
            self.assertEqual(result, {**out.value, "withheld": [], "withheld_more": 0})
            self.assertEqual(self.describe("to"), self.describe("from"))
            self.done("remove", path="to", recursive=True)

    def test_writes_what_tarfile_reads(self):
        self.fill()
        data = self.run_op("tar_out", path="from").data
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            members = archive.getmembers()
            self.assertEqual({member.name for member in members}, set(self.describe("from")))
            self.assertEqual(archive.extractfile("bin/tool").read(), b"#!/bin/sh\n")
            self.assertEqual({(m.uid, m.gid, m.uname, m.gname) for m in members}, {(0, 0, "", "")})
            self.assertEqual(archive.getmember("bin/tool").mode, 0o755)
            self.assertEqual(archive.getmember("long-link").linkname, "x" * 200)

    def test_reads_what_tarfile_writes_in_every_format(self):
        self.fill()
        os.unlink(os.fsencode(self.path("from")) + b"/latin\xe9" + b"z" * 120)
        for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w", format=format, pax_headers={"comment": "global"}) as archive:
                archive.add(self.path("from"), arcname=".")
            self.tar_in(buffer.getvalue(), "to", 10_000)
            self.assertEqual(self.describe("to"), self.describe("from"))
            self.done("remove", path="to", recursive=True)
            os.mkdir(self.path("to"))

    def test_keeps_the_numbers_that_do_not_fit_a_header(self):
        self.assertEqual(
            tarfile.TarFile.open(fileobj=io.BytesIO(encode_header(Header(b"huge", FILE, 0o644, 1 << 40, 0, b""))))
            .next()
            .size,
            1 << 40,
        )

    def test_takes_chosen_paths(self):
        self.put("d/a", b"a")
        self.put("d/b/c", b"c")
        self.put("d/other")
        os.symlink("a", self.path("d/link"))
        result = self.run_op("tar_out", path="d", paths=["a", "b", "link"])
        with tarfile.open(fileobj=io.BytesIO(result.data)) as archive:
            self.assertEqual(archive.getnames(), ["a", "b", "b/c", "link"])
        self.assertEqual(result.value, {"entries": 4, "bytes": 2})
        self.assert_fails("not_found", "tar_out", path="d", paths=["missing"])
        self.assert_fails("invalid", "tar_out", path="d", paths=["../d"])
        self.assert_fails("invalid", "tar_out", path="d", paths=["/etc/passwd"])
        os.symlink(self.outside, self.path("d/outside"))
        self.assert_fails("refused", "tar_out", path="d", paths=["outside/canary"])

    def test_drops_setuid_bits_on_the_way_out(self):
        self.put("a")
        os.chmod(self.path("a"), 0o6755)
        with tarfile.open(fileobj=io.BytesIO(self.run_op("tar_out", path=".").data)) as archive:
            self.assertEqual(archive.getmember("a").mode, 0o755)

    def test_stays_a_valid_archive_when_a_file_shrinks(self):
        self.put("a", bytes(1 << 20))
        self.put("b", b"after")
        running = Running(self.workspace, "tar_out", path=".")
        running.generator.send(None)
        os.truncate(self.path("a"), 0)
        running.run()
        with tarfile.open(fileobj=io.BytesIO(running.data)) as archive:
            self.assertEqual(archive.getmember("a").size, 1 << 20)
            self.assertEqual(archive.extractfile("b").read(), b"after")

    def test_waits_for_the_outgoing_buffer(self):
        self.put("big", bytes(8 << 20))
        result = self.run_op("tar_out", path=".")
        self.assertLess(result.channel.largest_buffered, 2 << 20)


class TarInReplaces(ArchiveTest):
    def test_files_without_writing_through_their_other_names(self):
        self.put("a", b"old")
        os.link(self.path("a"), self.path("b"))
        self.tar_in(make_archive(("a", {}, b"new")))
        self.assertEqual((self.get("a"), self.get("b")), (b"new", b"old"))

    def test_duplicates_with_the_last_one(self):
        self.assertEqual(self.tar_in(make_archive(*[("a", {}, b"%d" % i) for i in range(1000)]))["entries"], 1000)
        self.assertEqual(self.get("a"), b"999")

    def test_links_by_links_and_keeps_folders(self):
        data = make_archive(
            ("d", {"type": tarfile.DIRTYPE, "mode": 0o700}, b""),
            ("d/l", {"type": tarfile.SYMTYPE, "linkname": "x"}, b""),
            ("d/h", {}, b"1"),
            ("d/i", {"type": tarfile.LNKTYPE, "linkname": "d/h"}, b""),
        )
        for _ in range(2):
            self.tar_in(data)
        self.assertEqual(os.readlink(self.path("d/l")), "x")
        self.assertEqual(os.stat(self.path("d")).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(self.path("d/h")).st_ino, os.stat(self.path("d/i")).st_ino)

    def test_times_that_no_file_can_have_with_the_last_possible_one(self):
        data = bytearray(encode_header(Header(b"a", FILE, 0o644, 0, 0, b"")))
        data[136:148] = b"\x80" + b"\xff" * 11
        data[148:156] = b"%06o\0 " % (sum(data) - sum(data[148:156]) + 8 * 0x20)
        self.tar_in(bytes(data) + bytes(1024))
        self.assertEqual(os.stat(self.path("a")).st_size, 0)

    def test_needs_an_existing_folder_as_target(self):
        self.assert_fails("not_found", "tar_in", [None], path="missing", links="inside")
        self.put("file")
        self.assert_fails("not_a_directory", "tar_in", [None], path="file", links="inside")


class Refusals(ArchiveTest):
    def one(self, name="a", content=b"", **changes):
        return make_archive((name, changes, content))

    def test_of_names_that_leave_the_tree(self):
        for name in ("../x", "/etc/x", "a/../../x", "a/..", "..", "//x"):
            self.assertTrue(self.refused(self.one(name)).startswith(f"{name}: "), name)

    def test_of_special_files_and_bits(self):
        for kind, word in (
            (tarfile.CHRTYPE, "character device"),
            (tarfile.BLKTYPE, "block device"),
            (tarfile.FIFOTYPE, "FIFO"),
            (tarfile.GNUTYPE_SPARSE, "sparse"),
            (b"Z", "type"),
        ):
            self.assertIn(word, self.refused(self.one(type=kind)))
        for mode in (0o4755, 0o2755, 0o1644):
            self.assertIn("setuid", self.refused(self.one(mode=mode)))
        self.assertEqual(os.listdir(self.workspace), [])

    def test_but_not_of_special_bits_on_folders_which_are_dropped(self):
        self.tar_in(self.one("d", type=tarfile.DIRTYPE, mode=0o7775))
        self.assertEqual(os.stat(self.path("d")).st_mode & 0o7777, 0o775)

    def test_of_links_that_leave_the_tree(self):
        for name, target in (
            ("l", "/etc/passwd"),
            ("l", "../outside"),
            ("d/l", "../../outside"),
            ("l", "a/../../x"),
            ("d/e/l", "x/../y"),
            ("l", ".."),
        ):
            self.assertIn("link", self.refused(self.one(name, type=tarfile.SYMTYPE, linkname=target)))
        for target in ("/etc/passwd", "../outside/canary", "a/../../outside/canary", "missing", "missing/x", ""):
            self.refused(self.one("h", type=tarfile.LNKTYPE, linkname=target))

    def test_of_a_file_through_a_link_of_the_archive(self):
        inside = ("real", {"type": tarfile.DIRTYPE, "mode": 0o755}, b"")
        link = ("link", {"type": tarfile.SYMTYPE, "linkname": "real"}, b"")
        self.refused(make_archive(inside, link, ("link/x", {}, b"through")))
        self.refused(make_archive(inside, link, ("link", {}, b"over")))
        self.refused(make_archive(inside, link, ("link", {"type": tarfile.DIRTYPE}, b"")))
        self.refused(make_archive(inside, ("real", {"type": tarfile.SYMTYPE, "linkname": "x"}, b"")))
        self.refused(make_archive(inside, ("real", {}, b"")))
        self.refused(make_archive(inside, link, ("h", {"type": tarfile.LNKTYPE, "linkname": "link"}, b"")))
        self.refused(make_archive(inside, link, ("h", {"type": tarfile.LNKTYPE, "linkname": "link/x"}, b"")))
        self.assertEqual(os.listdir(self.path("real")), [])

    def test_of_planted_links_and_files_in_the_way(self):
        os.symlink(self.outside, self.path("planted"))
        os.symlink(os.path.join(self.outside, "canary"), self.path("file"))
        os.mkfifo(self.path("fifo"))
        self.put("plain")
        for data in (
            self.one("planted/x", b"x"),
            self.one("planted/canary", b"x"),
            self.one("file", b"x"),
            self.one("fifo", b"x"),
            self.one("plain/x", b"x"),
            self.one("planted", type=tarfile.DIRTYPE, mode=0o700),
            self.one("h", type=tarfile.LNKTYPE, linkname="planted/canary"),
        ):
            self.assertIn("in the way", self.refused(data))
        self.assertIn("not a file here", self.refused(self.one("h", type=tarfile.LNKTYPE, linkname="file")))

    def test_of_a_folder_swapped_for_a_link_during_the_call(self):
        data = make_archive(("d/a", {}, b"1"), ("e/b", {}, b"2"), ("d/canary", {}, b"planted"))
        running = Running(self.workspace, "tar_in", path=".", links="inside")
        running.generator.send(None)
        self.assertEqual(running.generator.send(data[:2048]).kind, "frame")
        os.rename(self.path("d"), self.path("was-d"))
        os.symlink(self.outside, self.path("d"))
        running.frames = iter([None])
        with self.assertRaises(OpError) as caught:
            running.run(data[2048:])
        self.assertEqual(caught.exception.code, "archive_refused")
        self.assert_canary()

    def test_of_broken_streams(self):
        good = make_archive(("a", {}, b"x" * 600), ("b", {}, b"y"))
        for size in (0, 100, 512, 700, 512 + 600, 1536, 2048):
            self.assertIn("truncated", self.refused(good[:size]))
        self.assertIn("not a tar", self.refused(b"x" * 1024))
        self.assertIn("not a tar", self.refused(good[:148] + b"7777777\0" + good[156:]))
        self.assertIn("after its end", self.refused(good + b"garbage"))
        self.assertIn("after its end", self.refused(good + good))

    def test_of_hostile_pax_headers(self):
        def pax(body, kind=b"x"):
            block = encode_header(Header(b"pax", kind, 0o644, len(body), 0, b""))
            return block + body + bytes(-len(body) % 512) + self.one("a", b"12345")

        def record(key, value):
            body = b" " + key + b"=" + value + b"\n"
            return next(b"%d%b" % (n, body) for n in range(len(body), len(body) + 8) if n == len(body) + len(str(n)))

        for body, word in (
            (record(b"path", b"a\0b"), "NUL"),
            (record(b"path", b"../x"), "leaves"),
            (record(b"path", b"/x"), "absolute"),
            (record(b"size", b"3"), "sizes"),
            (record(b"size", b"-1"), "sizes"),
            (record(b"size", b"1" * 30), "sizes"),
            (record(b"GNU.sparse.major", b"1"), "sparse"),
            (b"9 nonsense", "broken"),
            (b"99 path=x\n", "broken"),
            (b"0 path=x\n", "broken"),
            (b"9999999999999999999 path=x\n", "broken"),
            (record(b"path", b"x" * 70_000), "extended header"),
        ):
            self.assertIn(word, self.refused(pax(body)), body[:40])
        self.assertIn("global", self.refused(pax(record(b"path", b"x"), b"g")))
        self.assertIn("global", self.refused(pax(record(b"size", b"1"), b"g")))
        for kind in (b"L", b"K"):
            self.assertIn("extended header", self.refused(pax(b"x" * 70_000, kind)))
        self.assertIn("leaves", self.refused(pax(b"../../x\0", b"L")))
        self.assertIn("NUL", self.refused(pax(b"a\0b\0", b"L")))

    def test_of_content_that_belongs_to_no_file(self):
        for kind in (b"1", b"2", b"5"):
            data = encode_header(Header(b"a", kind, 0o755, 512, 0, b"b")) + bytes(1536)
            self.assertIn("content", self.refused(data))

    def test_of_names_and_depths_beyond_the_limits(self):
        self.assertIn("longer", self.refused(self.one("n" * 256)))
        self.assertIn("deeper", self.refused(self.one("d/" * 64 + "x")))
        self.tar_in(self.one("d/" * 63 + "n" * 255, b"x"))

    def test_of_more_entries_than_the_limit_leaving_what_came_before(self):
        block = encode_header(Header(b"d/", b"5", 0o755, 0, 0, b""))
        count = entries.MAX_ENTRIES
        frames = [block * 1000] * (count // 1000) + [block, bytes(1024), None]
        message = self.assert_fails("archive_refused", "tar_in", frames, path=".", links="inside")
        self.assertIn(f"more than {count} entries", message)
        self.assertEqual(os.listdir(self.workspace), ["d"])

    def test_says_how_far_it_came(self):
        data = make_archive(("one", {}, b"1"), ("two", {}, b"2"), ("../three", {}, b"3"))
        self.assertIn("(after 2 entries)", self.refused(data))
        self.assertEqual(sorted(os.listdir(self.workspace)), ["one", "two"])

    def test_shows_odd_names_in_short_messages(self):
        self.assertLess(len(self.refused(self.one("../" + "x\n" * 20_000))), 2000)


if __name__ == "__main__":
    unittest.main()
