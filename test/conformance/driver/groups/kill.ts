import { expect } from "vitest";
import type { Checks } from "../check.ts";
import { awaitEmpty, livingRemains } from "../scan.ts";

const KILLED_MS = 20_000;

const CROWD = `
import os, signal, time
for _ in range(80):
    if os.fork() == 0:
        os.setsid()
        for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)
        time.sleep(1000)
        os._exit(0)
print("on", flush=True)
time.sleep(1000)
`;

const STORM = `
import os
print("on", flush=True)
while True:
    try:
        if os.fork() == 0:
            try: os.fork()
            except OSError: pass
            if os.getpid() % 3 == 0: os._exit(0)
    except OSError: pass
`;

const DEAF = `
import signal, time
for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)
print("deaf", flush=True)
while True: time.sleep(100)
`;

export function checkKill(checks: Checks): void {
  checks.check("a call ends at its deadline, with its output, and the sandbox goes on", async (bed) => {
    await using guest = await bed.guest();
    const run = await guest.run(["/bin/sh", "-c", "echo begun; exec sleep 60"], { deadlineMs: 700 });
    expect(run).toMatchObject({ ended: "deadline", sandboxKilled: false, stdout: { text: "begun\n" } });
    expect((await guest.run(["/usr/bin/true"])).report?.exit_code).toBe(0);
  });

  checks.check("a program deaf to signals ends at its deadline all the same", async (bed) => {
    await using guest = await bed.guest();
    const run = await guest.run(["/usr/bin/python3", "-I", "-c", DEAF], { deadlineMs: 1500 });
    expect(run).toMatchObject({ ended: "deadline", stdout: { text: "deaf\n" } });
  });

  checks.check("a call that is cancelled ends at once", async (bed) => {
    await using guest = await bed.guest();
    const running = await guest.sandbox.startProcess({ argv: ["/usr/bin/sleep", "60"] });
    running.cancel();
    expect(await running.done).toMatchObject({ ended: "cancel", sandboxKilled: false });
  });

  for (const [what, program] of [
    ["a crowd of daemons deaf to signals", CROWD],
    ["a storm of forks", STORM],
  ] as const) {
    checks.check(`${what} is gone when the sandbox is killed`, async (bed) => {
      await using guest = await bed.guest({ limits: { pids: 120 } });
      const { promise: ready, resolve } = Promise.withResolvers<void>();
      void guest.startPython(program, { onOutput: () => resolve() }).catch(() => undefined);
      await ready;
      await guest.host.kill("enough");
      expect(await guest.host.ended).toEqual({ kind: "killed", detail: "enough" });
      expect(
        await awaitEmpty(() => livingRemains([guest.id]).filter((text) => text.startsWith("process")), KILLED_MS),
      ).toEqual([]);
    });
  }

  checks.check("kill -9 -1 from inside takes the guest's processes and not the supervisor", async (bed) => {
    await using guest = await bed.guest();
    const run = await guest.run(["/usr/bin/python3", "-I", "-c", "import os\nos.kill(-1, 9)"]);
    expect(run.ended).toBe("exit");
    expect((await guest.run(["/bin/echo", "alive"])).stdout.text).toBe("alive\n");
  });

  checks.check("what a call leaves running ends with it", async (bed) => {
    await using guest = await bed.guest();
    await guest.run(["/bin/sh", "-c", "setsid sleep 987 </dev/null >/dev/null 2>&1 & echo left"]);
    const found = await guest.python<string[]>(`
import os
result = []
for pid in os.listdir("/proc"):
    if pid.isdigit():
        try: result.append(open(f"/proc/{pid}/cmdline").read().replace("\\0", " "))
        except OSError: pass`);
    expect(found.filter((line) => line.includes("sleep 987"))).toEqual([]);
  });
}
