import { existsSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lacks } from "../../support/needs.ts";
import {
  findInitProcess,
  type Harness,
  isRoot,
  listGroups,
  listMembers,
  listProcessesOf,
  openHarness,
  readStatus,
} from "./harness.ts";

describe.skipIf(lacks(isRoot, "root"))("limits by cgroup", () => {
  let harness: Harness;

  beforeAll(() => {
    harness = openHarness();
  });

  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
  });

  test("300 processes that ignore every signal in sessions of their own are gone when a kill resolves", async () => {
    const guest = await harness.open({ limits: { pids: 400 } });
    const { id } = guest.spec;
    const uid = Number(readStatus(findInitProcess(id))["Uid"]?.split("\t")[0]);
    const count = await guest.run<number>(`
import os, signal, time
for _ in range(300):
    if os.fork() == 0:
        os.setsid()
        for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)
        time.sleep(1000)
        os._exit(0)
result = 300`);
    expect(count).toBe(300);
    expect(listMembers(id).length).toBeGreaterThan(300);
    await guest.sandbox.kill("the test asks");
    expect(listMembers(id)).toEqual([]);
    expect(listProcessesOf(new Set([uid]))).toEqual([]);
    expect(await guest.sandbox.ended).toEqual({ kind: "killed", detail: "the test asks" });
    await guest[Symbol.asyncDispose]();
  });

  test("all sandboxes together leave some of the machine's processes and memory, and go before the server", async () => {
    await using guest = await harness.open({ limits: { pids: 30_000, memoryBytes: 2 ** 50 } });
    const { id } = guest.spec;
    const read = (path: string): number => Number(readFileSync(path, "utf8"));
    const found = listGroups(id).flatMap((group) =>
      ["pids.max", "memory.max", "memory.limit_in_bytes"].map((name) => join(dirname(group), name)),
    );
    const sums = Object.fromEntries(
      found.filter((path) => existsSync(path)).map((path) => [basename(path), read(path)]),
    );
    expect(sums["pids.max"]).toBeLessThan(read("/proc/sys/kernel/pid_max"));
    expect(sums["memory.max"] ?? sums["memory.limit_in_bytes"]).toBeLessThan(totalmem());
    expect(read(`/proc/${findInitProcess(id)}/oom_score_adj`)).toBe(500);
  });

  test("a sandbox that ends by itself says how", async () => {
    await using guest = await harness.open();
    guest.send("import os\nos._exit(7)");
    expect(await guest.sandbox.ended).toMatchObject({ kind: "exited", detail: expect.stringContaining("exit code 7") });
  });
});
