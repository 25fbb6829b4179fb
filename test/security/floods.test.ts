import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { compileLimits } from "../../src/executor/compile.ts";
import { describeDrivers } from "../support/drivers.ts";
import { openTestApp } from "../support/home.ts";
import { TurnWatch } from "../support/turn-watch.ts";
import { openLease } from "./open-lease.ts";

const MIB = 1024 * 1024;

describeDrivers((driver) => {
  let app: App;
  beforeAll(async () => {
    app = await openTestApp(driver.config);
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
  });

  /** Finds the payload socket of its own run and writes empty rich outputs past the runner. */
  const RICH_FLOOD = `
import os
payload = next(fd for fd in range(64, 128) if os.path.exists(f"/proc/self/fd/{fd}"))
frame = bytes([2, 0, 0, 0, 2, 1]) + b"x"
rest = memoryview(frame * 20_000)
while rest:
    rest = rest[os.write(payload, rest):]
`;

  test("floods - a run leaves at most 1,000 rich outputs on the host, and its result says that there were more", async () => {
    await using lease = await openLease(app, "file");
    const run = await lease.sandbox.runCode({ language: "python", code: RICH_FLOOD, deadlineMs: 20_000 });
    expect(run.report).toMatchObject({ exit_code: 0, truncated: true });
    expect(run.rich.length).toBe(1000);
  });

  const runProgram = async (lease: Awaited<ReturnType<typeof openLease>>, program: string): Promise<void> => {
    const argv = ["/usr/bin/python3", "-I", "-c", program];
    const result = await lease.sandbox.runProcess({ argv, deadlineMs: 20_000 });
    expect(result.stderr.text).toBe("");
  };

  const DEEP_NAMES = `
import os
os.symlink(b"\\xff" * 4000, "link")
for name in (b"\\xff" * 250, b"d" * 250):
    folder = os.open(".", os.O_RDONLY)
    for _ in range(30):
        os.mkdir(name, dir_fd=folder)
        folder = os.open(name, os.O_RDONLY, dir_fd=folder)
    os.close(os.open("file", os.O_CREAT, dir_fd=folder))
`;

  test("floods - names too long for the host are counted and left out, and the sandbox lives", async () => {
    await using lease = await openLease(app, "file");
    const { files } = lease.sandbox;
    await files.snapshot();
    await runProgram(lease, DEEP_NAMES);
    const { changes, more } = await files.diff();
    expect(changes.map(({ path }) => path)).toEqual(["link"]);
    expect(more).toBe(2);
    const { entries, truncated } = await files.list(".", { depth: 100 });
    expect(entries.find(({ path }) => path === "link")?.target).toBeNull();
    expect(truncated).toBe(true);
    expect(lease.sandbox.end).toBeUndefined();
  });

  const LONG_LISTING = `
import os
folder = os.open("/tmp", os.O_RDONLY)
for _ in range(15):
    os.mkdir("\\x01" * 200, dir_fd=folder)
    folder = os.open("\\x01" * 200, os.O_RDONLY, dir_fd=folder)
for number in range(5000):
    os.close(os.open(str(number), os.O_CREAT, dir_fd=folder))
`;

  test("floods - a listing of 90 MB of names is cut, and never holds up the host for 200 ms", async () => {
    await using lease = await openLease(app, "file");
    await runProgram(lease, LONG_LISTING);
    const turns = new TurnWatch();
    const { entries, truncated } = await lease.sandbox.files.list("/tmp", { depth: 40, limit: 10_000 });
    const longestMs = turns.stop();
    expect(truncated).toBe(true);
    expect(entries.length).toBeGreaterThan(1000);
    expect(longestMs).toBeLessThan(200);
  });

  const FORGED_RESULT = `
import json, os
payload = next(fd for fd in range(64, 128) if os.path.exists(f"/proc/self/fd/{fd}"))
body = json.dumps({"value": "x" * 65400}).encode()
os.write(payload, bytes([1]) + len(body).to_bytes(4, "big") + body)
os._exit(3)
`;

  test("floods - a result that fills its message is dropped, and the call still reports its exit", async () => {
    await using lease = await openLease(app, "file");
    const run = await lease.sandbox.runCode({ language: "python", code: FORGED_RESULT, deadlineMs: 20_000 });
    expect(run.report).toMatchObject({ exit_code: 3, value: null, truncated: true });
  });

  test("floods - a time that is no date is listed, and the sandbox lives", async () => {
    await using lease = await openLease(app, "file");
    const argv = ["/usr/bin/touch", "-d", "@9223372036854775807", "/tmp/far"];
    await lease.sandbox.runProcess({ argv });
    const { entries } = await lease.sandbox.files.list("/tmp", { depth: 1, limit: 100 });
    const far = entries.find(({ path }) => path === "/tmp/far");
    expect(far?.mtime_ms).toBeGreaterThan(Date.now());
    expect(new Date(far?.mtime_ms ?? Number.NaN).toISOString()).toBeTruthy();
    expect(lease.sandbox.end).toBeUndefined();
  });

  test("floods - a /tmp that was asked for larger than the memory fills up and kills nothing", async () => {
    const limits = compileLimits({ memory_bytes: 128 * MIB, tmp_bytes: 512 * MIB });
    await using lease = await openLease(app, "file", limits);
    const argv = ["/bin/sh", "-c", "head -c 400000000 /dev/zero > /tmp/full; echo ended $?"];
    const { stdout, stderr } = await lease.sandbox.runProcess({ argv, deadlineMs: 60_000 });
    expect([stdout.text, stderr.text]).toEqual(["ended 1\n", expect.stringContaining("No space left")]);
    expect(lease.sandbox.end).toBeUndefined();
  });
});
