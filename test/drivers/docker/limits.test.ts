import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lacksEngine } from "../../support/engine.ts";
import { lacks } from "../../support/needs.ts";
import { type Harness, hasBootstrap, openHarness } from "./harness.ts";

const MIB = 1024 * 1024;
const cannot = lacksEngine() || lacks(hasBootstrap, "mmdebstrap");

/** A limit in the wrong place of the creation options is ignored without a word, so each one is run into. */
describe.skipIf(cannot)("every limit of a container bites", () => {
  let harness: Harness;

  beforeAll(async () => {
    harness = await openHarness({ runtime: "runc" });
  });

  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
  });

  test("memory: a hog dies, the counter rises, the peak stays below", async () => {
    await using guest = await harness.open({ limits: { memoryBytes: 96 * MIB } });
    expect(guest.host.usage().oomKills).toBe(0);
    const { code } = await guest.python("b = bytearray(400 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1");
    expect(code).toBe("KILL");
    const { oomKills = 0, memoryPeakBytes = 0 } = guest.host.usage();
    expect(oomKills).toBeGreaterThanOrEqual(1);
    expect(memoryPeakBytes).toBeGreaterThan(80 * MIB);
    expect(memoryPeakBytes).toBeLessThanOrEqual(96 * MIB);
    expect(guest.host.resetPeak()).toBe(true);
    expect(guest.host.usage().memoryPeakBytes).toBeLessThan(60 * MIB);
  });

  test("processes: forks are refused, the counter rises", async () => {
    await using guest = await harness.open({ limits: { pids: 20 } });
    const { out } = await guest.python(`
import subprocess
children = []
try:
    while len(children) < 100: children.append(subprocess.Popen(["/usr/bin/sleep", "100"]))
except OSError: pass
print(len(children))
for child in children: child.kill()`);
    expect(Number(out)).toBeGreaterThan(8);
    expect(Number(out)).toBeLessThan(20);
    expect(guest.host.usage().pidsRefused).toBeGreaterThanOrEqual(1);
  });

  test("cpu: half a core gives half a core", async () => {
    await using guest = await harness.open({ limits: { cpus: 0.5 } });
    const before = guest.host.usage().cpuTotalUs ?? 0;
    const { out } = await guest.python(`
import time
began = time.monotonic()
while time.monotonic() - began < 2: pass
print(time.monotonic() - began)`);
    const usedUs = (guest.host.usage().cpuTotalUs ?? 0) - before;
    expect(usedUs / (Number(out) * 1e6)).toBeLessThan(0.65);
    expect(usedUs).toBeGreaterThan(100_000);
  });

  test("sizes: /tmp, its inodes, shared memory, the workspace, one file", async () => {
    await using guest = await harness.open({ limits: { tmpBytes: 8 * MIB, workspaceBytes: 24 * MIB } });
    const fill = (path: string): Promise<{ out: string }> =>
      guest.python(`
import errno
written = 0
try:
    with open("${path}", "wb") as f:
        while written < 200 << 20: written += f.write(b"x" * 65536); f.flush()
except OSError as error: print(errno.errorcode[error.errno], written >> 20)`);
    expect((await fill("/tmp/big")).out).toMatch(/^ENOSPC [78]\n$/);
    const [reason, size] = (await fill("/workspace/big")).out.trim().split(" ");
    expect(reason).toBe("EFBIG");
    expect(Number(size)).toBe(24);
    expect((await guest.python('open("/workspace/more", "wb").write(b"x" * (8 << 20))')).out).toContain(
      "No space left on device",
    );
    expect((await guest.run("df", "--output=size", "-BM", "/dev/shm")).out).toContain("64M");
    expect((await guest.run("df", "--output=itotal", "/tmp")).out).toContain("65536");
    expect(
      (await guest.run("sh", "-c", "echo x > /etc/x; echo x > /x; echo x > /dev/x")).out.match(/cannot create/g),
    ).toHaveLength(3);
  });

  test("each process: open files, core, stack, locked memory, queues, signals, priorities", async () => {
    await using guest = await harness.open({ limits: { openFiles: 77 } });
    const { out } = await guest.python(`
import resource as r, os
names = ["CORE", "NOFILE", "STACK", "MEMLOCK", "MSGQUEUE", "SIGPENDING", "RTPRIO", "NICE"]
print(*[f"{name}={r.getrlimit(getattr(r, 'RLIMIT_' + name))[1]}" for name in names])
try:
    while True: os.dup(0)
except OSError as error: print(error.errno)`);
    expect(out).toBe("CORE=0 NOFILE=77 STACK=8388608 MEMLOCK=65536 MSGQUEUE=0 SIGPENDING=256 RTPRIO=0 NICE=0\n24\n");
  });

  test("what stands around a process: ids, rights, network, masks, environment", async () => {
    await using guest = await harness.open();
    const { out } = await guest.run("cat", "/proc/self/status");
    expect(out).toMatch(/^CapBnd:\t0+$/m);
    expect(out).toMatch(/^NoNewPrivs:\t1$/m);
    expect(out).toMatch(/^Seccomp:\t2$/m);
    expect(out).not.toMatch(/^Uid:\t0/m);
    expect((await guest.run("sh", "-c", "cat /proc/net/dev | grep -c :")).out).toBe("1\n");
    expect(
      (
        await guest.run(
          "sh",
          "-c",
          "ls /sys; cat /proc/cmdline /proc/kallsyms /proc/keys; cat /proc/self/cgroup | cut -d: -f3 | sort -u",
        )
      ).out,
    ).toBe("/\n");
    expect(
      (await guest.run("sh", "-c", "id -un; getent hosts $(hostname); cat /etc/resolv.conf | grep name")).out,
    ).toMatch(/^sandbox\n127\.0\.0\.1 .*\nnameserver 127\.0\.0\.1\n$/);
    expect((await guest.run("cat", "/proc/1/environ")).out).toMatch(/denied/i);
    expect(guest.host.isolation).toMatchObject({
      driver: "docker",
      runtime: "runc",
      seccomp: "filter",
      distinct_uid: true,
    });
  });
});
