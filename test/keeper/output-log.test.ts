import { mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { OutputLog } from "../../src/keeper/output-log.ts";

const MIB = 1024 * 1024;

test("output log - keeps everything up to a MiB", () => {
  const log = new OutputLog();
  log.push(Buffer.from("one "));
  log.push(Buffer.from("two"));
  expect(log.read().toString()).toBe("one two");
});

test("output log - keeps exactly the last MiB of more, however it is cut", () => {
  for (const size of [1, 1000, 65_536, 3 * MIB]) {
    const all = Buffer.alloc(3 * MIB + 17, "0123456789abcdef");
    const log = new OutputLog();
    for (let offset = 0; offset < all.length; offset += size) log.push(all.subarray(offset, offset + size));
    expect(log.read().equals(all.subarray(-MIB))).toBe(true);
  }
});

test("output log - in a file it goes on where its last keeper ended, however little or much that was", () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-log-"));
  const path = join(folder, "ring");
  const all = Buffer.alloc(2 * MIB + 5, "0123456789abcdef");
  let pushed = 0;
  for (const size of [3, MIB - 10, 7, 100_000]) {
    using log = new OutputLog(path);
    expect(log.read().equals(all.subarray(Math.max(0, pushed - MIB), pushed))).toBe(true);
    log.push(all.subarray(pushed, pushed + size));
    pushed += size;
  }
  expect(statSync(path).mode & 0o777).toBe(0o600);
  truncateSync(path, 100);
  using cut = new OutputLog(path);
  expect(cut.read()).toHaveLength(0);
  rmSync(folder, { recursive: true });
});
