import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LockFile } from "../../src/lib/lock-file.ts";
import { identifyProcess } from "../../src/lib/process-identity.ts";

let folder = "";
const never = new AbortController().signal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("lock file - a second taker is told once, waits, and gets it when the first lets go", async () => {
  const path = join(folder, "lock");
  const first = await LockFile.acquire(path, never, () => undefined);
  const told = Promise.withResolvers<number>();
  const second = LockFile.acquire(path, never, ({ pid }) => told.resolve(pid));
  expect(await told.promise).toBe(process.pid);
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  expect(readdirSync(folder)).toEqual([]);
});

test("lock file - the lock of a dead holder is taken over", async () => {
  const path = join(folder, "lock");
  writeFileSync(path, JSON.stringify({ ...identifyProcess(process.pid), startTicks: "1" }));
  using lock = await LockFile.acquire(path, never, () => expect.unreachable("nobody holds it"));
  expect(lock).toBeDefined();
});

test("lock file - waiting ends when the caller leaves", async () => {
  const path = join(folder, "lock");
  using _first = await LockFile.acquire(path, never, () => undefined);
  const caller = new AbortController();
  await expect(LockFile.acquire(path, caller.signal, () => caller.abort(new Error("left")))).rejects.toThrow();
});
