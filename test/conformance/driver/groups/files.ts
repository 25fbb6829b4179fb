import { createHash, randomBytes } from "node:crypto";
import { expect } from "vitest";
import type { Checks } from "../check.ts";

const MIB = 1024 * 1024;

export function checkFiles(checks: Checks): void {
  checks.check("what is written is read, in whole and in part", async (bed) => {
    await using guest = await bed.guest();
    const { files } = guest.sandbox;
    const content = randomBytes(5 * MIB);
    const sha256 = createHash("sha256").update(content).digest("hex");
    expect(await files.write("deep/er/data.bin", content)).toMatchObject({
      bytes: content.length,
      sha256,
      created: true,
    });
    expect((await files.read("deep/er/data.bin")).equals(content)).toBe(true);
    const parts: Buffer[] = [];
    await files.readTo("deep/er/data.bin", (chunk) => void parts.push(chunk), { offset: 1000, length: 500 });
    expect(Buffer.concat(parts).equals(content.subarray(1000, 1500))).toBe(true);
    expect((await guest.run(["/usr/bin/sha256sum", "deep/er/data.bin"])).stdout.text.slice(0, 64)).toBe(sha256);
    await expect(files.read("missing")).rejects.toMatchObject({ code: "not_found" });
  });

  checks.check("listing, status, moving and removing agree with what the guest sees", async (bed) => {
    await using guest = await bed.guest();
    const { files } = guest.sandbox;
    await guest.run(["/bin/sh", "-c", "mkdir -p a/b; echo hi > a/b/c; ln -s b/c a/link"]);
    const { entries } = await files.list(".", { depth: 3 });
    expect(entries.map(({ path, type }) => `${type} ${path}`).sort()).toEqual([
      "dir a",
      "dir a/b",
      "file a/b/c",
      "symlink a/link",
    ]);
    expect(await files.stat("a/b/c")).toMatchObject({ type: "file", size: 3 });
    await files.move("a/b/c", "a/d");
    expect(await files.remove("a", { recursive: true })).toBe(4);
    expect((await guest.run(["/bin/ls", "-A"])).stdout.text).not.toContain("a\n");
  });

  checks.check("a tar stream goes in and out whole", async (bed) => {
    await using guest = await bed.guest();
    const { files } = guest.sandbox;
    await guest.run(["/bin/sh", "-c", "mkdir t; echo one > t/1; mkdir t/sub; echo two > t/sub/2; chmod 755 t/1"]);
    await files.makeFolder("copy");
    const chunks: Buffer[] = [];
    await files.exportTar("t", (chunk) => void chunks.push(chunk));
    expect((await files.importTar("copy", Buffer.concat(chunks))).withheld).toEqual([]);
    expect((await guest.run(["/usr/bin/diff", "-r", "t", "copy"])).report?.exit_code).toBe(0);
    expect((await files.hashTree("t")).sha256).toBe((await files.hashTree("copy")).sha256);
  });

  checks.check("unpacking does not enter a link where a folder should be", async (bed) => {
    await using guest = await bed.guest();
    const { files } = guest.sandbox;
    await guest.run(["/bin/sh", "-c", "mkdir -p src/link dst; echo evil > src/link/mark; ln -s /tmp dst/link"]);
    const chunks: Buffer[] = [];
    await files.exportTar("src", (chunk) => void chunks.push(chunk));
    await expect(files.importTar("dst", Buffer.concat(chunks))).rejects.toMatchObject({ name: "PaddockError" });
    expect((await guest.run(["/bin/ls", "/tmp/mark"])).report?.exit_code).not.toBe(0);
  });

  checks.check("a diff names what was created, modified and deleted", async (bed) => {
    await using guest = await bed.guest();
    const { files } = guest.sandbox;
    await guest.run(["/bin/sh", "-c", "echo 1 > stays; echo 1 > changes; echo 1 > goes"]);
    await files.snapshot();
    await guest.run(["/bin/sh", "-c", "echo 22 > changes; rm goes; echo 3 > comes"]);
    const { changes, more } = await files.diff();
    expect(more).toBe(0);
    expect(changes.map(({ kind, path }) => `${kind} ${path}`).sort()).toEqual([
      "created comes",
      "deleted goes",
      "modified changes",
    ]);
  });

  checks.check("changes are watched as they happen", async (bed) => {
    await using guest = await bed.guest();
    const { promise: seen, resolve } = Promise.withResolvers<string>();
    const stop = new AbortController();
    const watching = guest.sandbox.files.watch(".", ({ path }) => resolve(path), stop.signal);
    let settled = false;
    void seen.then(() => {
      settled = true;
    });
    for (let round = 0; !settled && round < 100; round++) await guest.run(["/usr/bin/touch", "watched"]);
    expect(await seen).toBe("watched");
    stop.abort();
    expect(await watching).toBeGreaterThan(0);
  });

  checks.check("a link cannot lead a file operation to what the sandbox does not own", async (bed) => {
    await using guest = await bed.guest();
    await guest.run(["/bin/sh", "-c", "ln -s /proc/1/environ env; ln -s / root; mkfifo pipe"]);
    for (const path of ["env", "root/etc/shadow", "pipe"])
      await expect(guest.sandbox.files.read(path), path).rejects.toMatchObject({ name: "PaddockError" });
  });
}
