import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import type { Lease } from "../../src/fleet/fleet.ts";
import { describeDrivers } from "../support/drivers.ts";
import { openTestApp } from "../support/home.ts";
import { openLease } from "./open-lease.ts";

describeDrivers((driver) => {
  let app: App;
  beforeAll(async () => {
    app = await openTestApp(driver.config);
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
  });

  async function runPython(lease: Lease, program: string): Promise<{ text: string; shared: boolean | undefined }> {
    const argv = ["/usr/bin/python3", "-I", "-c", program];
    const result = await lease.sandbox.runProcess({ argv, deadlineMs: 20_000 });
    expect(result.stderr.text).toBe("");
    return { text: result.stdout.text, shared: result.report?.shared };
  }

  const LIST = `
import os
for pid in os.listdir("/proc"):
    if pid.isdigit() and int(pid) != os.getpid():
        print(open(f"/proc/{pid}/cmdline").read().replace("\\0", " "))
`;

  const HIDE_IN_NAME = `
import os
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execve("/usr/bin/sleep", ["leftover", "60"], {"PADDOCK_CALL_ID": "supervisor"})
    os._exit(0)
os.close(writer)
os.read(reader, 1)
`;

  test("leftovers - a daemon that names itself the supervisor's ends with its call", async () => {
    await using lease = await openLease(app, "file");
    await runPython(lease, HIDE_IN_NAME);
    const { text, shared } = await runPython(lease, LIST);
    expect(text).not.toContain("leftover");
    expect(shared).toBe(false);
  });

  const HIDE_AS_SIBLING = `
import ctypes, os
CLONE_PARENT, SIGCHLD = 0x8000, 17
clone = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
if ctypes.CDLL(None).syscall(clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0:
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.execve("/usr/bin/sleep", ["leftover", "60"], {})
`;

  test("leftovers - a run cannot make a process the warm interpreter's child", async () => {
    await using lease = await openLease(app, "python");
    const run = await lease.sandbox.runCode({ language: "python", code: HIDE_AS_SIBLING, deadlineMs: 20_000 });
    expect(run.report?.exit_code).toBe(0);
    const { text } = await runPython(lease, LIST);
    expect(text).not.toContain("leftover");
  });

  /**
   * Overwrites a text of the runner in the memory of the spare Node, until all copies it makes while it starts are
   * found.
   */
  const REWRITE_SPARE = `
import os, time
OLD, NEW = b"Warning: Detected unsettled top-level await", b"FORGED: Detected unsettled top-level await.."

def rewrite(pid):
    count = 0
    try:
        memory = open(f"/proc/{pid}/mem", "r+b", buffering=0)
    except PermissionError:
        raise SystemExit(print("refused"))
    with memory:
        for line in open(f"/proc/{pid}/maps"):
            span, rights = line.split()[:2]
            low, high = (int(end, 16) for end in span.split("-"))
            if "w" not in rights or high - low > 1 << 28:
                continue
            memory.seek(low)
            data = memory.read(high - low)
            at = data.find(OLD)
            while at >= 0:
                memory.seek(low + at)
                memory.write(NEW[: len(OLD)])
                count += 1
                at = data.find(OLD, at + 1)
    return count

others = (pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid())
spare = next((pid for pid in others if "runner.mjs" in open(f"/proc/{pid}/cmdline").read()), None)
if spare is None:
    raise SystemExit
found = quiet = 0
while found == 0 or quiet < 10:
    count = rewrite(spare)
    found += count
    quiet = 0 if count else quiet + 1
    time.sleep(0.05)
print("rewritten")
`;

  test("leftovers - an earlier call cannot prepare the Node that runs a later one", async () => {
    await using lease = await openLease(app, "javascript");
    // Nothing tells from outside when the spare is there; it comes 50 ms after the sandbox became idle.
    let text = "";
    for (let tries = 0; tries < 20 && text === ""; tries += 1) {
      await sleep(100);
      ({ text } = await runPython(lease, REWRITE_SPARE));
    }
    // gVisor lets nobody write into another process.
    expect(text).toBe(driver.ownKernel ? "refused\n" : "rewritten\n");
    const code = "await new Promise(() => {})";
    const run = await lease.sandbox.runCode({ language: "javascript", code, deadlineMs: 20_000 });
    expect(run.stderr.text).toBe("Warning: Detected unsettled top-level await\n");
    expect(run.report?.shared).toBe(false);
  });
});
