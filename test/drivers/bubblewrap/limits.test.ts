import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lacks } from "../../support/needs.ts";
import {
  findInitProcess,
  type Harness,
  isRoot,
  listMembers,
  listProcessesOf,
  openHarness,
  readStatus,
  until,
} from "./harness.ts";

const MIB = 1024 * 1024;

describe.skipIf(lacks(isRoot, "root"))("limits by cgroup", () => {
  let harness: Harness;

  beforeAll(() => {
    harness = openHarness();
  });

  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
  });

  test("a memory bomb dies of the sandbox's own limit, and the counter shows it", async () => {
    await using guest = await harness.open({ limits: { memoryBytes: 96 * MIB } });
    expect(guest.sandbox.usage().oomKills).toBe(0);
    const status = await guest.run<number>(`
import subprocess
result = subprocess.run(["/usr/bin/python3", "-c", "b = bytearray(400 << 20)\\nfor i in range(0, len(b), 4096): b[i] = 1"]).returncode`);
    expect(status).toBe(-9);
    const usage = guest.sandbox.usage();
    expect(usage.oomKills).toBeGreaterThanOrEqual(1);
    expect(usage.memoryPeakBytes).toBeLessThanOrEqual(96 * MIB);
    expect(usage.memoryPeakBytes).toBeGreaterThan(80 * MIB);
  });

  test("the memory peak starts again where it is after a reset", async () => {
    await using guest = await harness.open();
    await guest.run("b = bytearray(100 << 20)\nresult = len(b)");
    expect(guest.sandbox.usage().memoryPeakBytes).toBeGreaterThan(100 * MIB);
    expect(guest.sandbox.resetPeak()).toBe(true);
    expect(guest.sandbox.usage().memoryPeakBytes).toBeLessThan(60 * MIB);
  });

  test("forks are refused at the pids limit, and the counter shows it", async () => {
    await using guest = await harness.open({ limits: { pids: 20 } });
    const started = await guest.run<number>(`
import subprocess
children = []
try:
    while len(children) < 100: children.append(subprocess.Popen(["/usr/bin/sleep", "100"]))
except (BlockingIOError, OSError): pass
result = len(children)
for child in children: child.kill(); child.wait()`);
    expect(started).toBeLessThan(20);
    expect(started).toBeGreaterThan(10);
    expect(guest.sandbox.usage().pidsRefused).toBeGreaterThanOrEqual(1);
  });

  test("the cpu quota holds and its use is counted", async () => {
    await using guest = await harness.open({ limits: { cpus: 0.25 } });
    await guest.run(`
import multiprocessing, subprocess, time
spinners = [subprocess.Popen(["/usr/bin/python3", "-c", "while True: pass"]) for _ in range(3)]
time.sleep(1)
for spinner in spinners: spinner.kill(); spinner.wait()`);
    const { cpuUserUs = 0, cpuSystemUs = 0 } = guest.sandbox.usage();
    expect(cpuUserUs + cpuSystemUs).toBeGreaterThan(100_000);
    expect(cpuUserUs + cpuSystemUs).toBeLessThan(600_000);
  });

  test("300 processes that ignore every signal in sessions of their own are gone within a second", async () => {
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
    const beganAt = performance.now();
    await guest.sandbox.kill("the test asks");
    expect(performance.now() - beganAt).toBeLessThan(1000);
    expect(listMembers(id)).toEqual([]);
    expect(listProcessesOf(new Set([uid]))).toEqual([]);
    expect(await guest.sandbox.ended).toEqual({ kind: "killed", detail: "the test asks" });
    await guest[Symbol.asyncDispose]();
  });

  test("processes that fork without end are gone after a kill", async () => {
    const guest = await harness.open({ limits: { pids: 60 } });
    guest.send(`
import os
while True:
    try:
        if os.fork() == 0:
            try: os.fork()
            except OSError: pass
            os._exit(0) if os.getpid() % 3 == 0 else None
    except OSError: pass`);
    await until(() => listMembers(guest.spec.id).length > 40);
    await guest.sandbox.kill("enough");
    expect(listMembers(guest.spec.id)).toEqual([]);
    await guest[Symbol.asyncDispose]();
  });

  test("a sandbox that ends by itself says how", async () => {
    await using guest = await harness.open();
    guest.send("import os\nos._exit(7)");
    expect(await guest.sandbox.ended).toMatchObject({ kind: "exited", detail: expect.stringContaining("exit code 7") });
  });
});
