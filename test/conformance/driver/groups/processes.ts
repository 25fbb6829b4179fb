import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { Checks } from "../check.ts";

const MIB = 1024 * 1024;

export function checkProcesses(checks: Checks): void {
  checks.check("exit codes, signals and both streams are told apart", async (bed) => {
    await using guest = await bed.guest();
    const failed = await guest.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]);
    expect(failed.report).toMatchObject({ reason: "exit", exit_code: 7, signal: null });
    expect([failed.stdout.text, failed.stderr.text]).toEqual(["out\n", "err\n"]);
    const killed = await guest.run(["/bin/sh", "-c", "kill -SEGV $$"]);
    expect(killed.report).toMatchObject({ exit_code: null, signal: "SEGV" });
  });

  checks.check("a program that is not there is told as a shell tells it, and the sandbox lives on", async (bed) => {
    await using guest = await bed.guest();
    const missing = await guest.run(["/no/such/program"]);
    expect(missing.report?.exit_code).toBe(127);
    expect(missing.stderr.text).toContain("/no/such/program");
    expect((await guest.run(["/usr/bin/true"])).report?.exit_code).toBe(0);
  });

  checks.check("standard input arrives whole and ends", async (bed) => {
    await using guest = await bed.guest();
    const input = Buffer.alloc(3 * MIB, "paddock ");
    const options = { argv: ["/usr/bin/sha256sum"], deadlineMs: 30_000 };
    const { stdout } = await guest.sandbox.runProcess(options, input);
    expect(stdout.text.slice(0, 64)).toBe(createHash("sha256").update(input).digest("hex"));
  });

  checks.check("a terminal is one, has its size and passes what is typed", async (bed) => {
    await using guest = await bed.guest();
    const argv = ["/bin/sh", "-c", "test -t 0 && stty size && read line && echo got $line"];
    const running = await guest.sandbox.startProcess({ argv, pty: { rows: 31, cols: 97 }, deadlineMs: 20_000 });
    await running.write("hello\n");
    const { stdout, report } = await running.done;
    expect(report?.exit_code).toBe(0);
    expect(stdout.text).toContain("31 97");
    expect(stdout.text).toContain("got hello");
  });

  checks.check("a signal reaches the process", async (bed) => {
    await using guest = await bed.guest();
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const code =
      "import signal, sys, time\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))\nprint('on', flush=True)\ntime.sleep(30)";
    const running = await guest.startPython(code, { onOutput: () => resolve() });
    await ready;
    running.signal("USR1");
    expect((await running.done).report?.exit_code).toBe(9);
  });

  checks.check("a background process is listed, can be followed and ends by a signal", async (bed) => {
    await using guest = await bed.guest();
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const running = await guest.sandbox.startProcess({
      argv: ["/bin/sh", "-c", "echo begun; exec sleep 60"],
      background: true,
    });
    const listed = (await guest.sandbox.processes()).find(({ pid }) => pid === running.pid);
    expect(listed).toMatchObject({ background: true, running: true });
    const followed = await guest.sandbox.attach(running.pid, { onOutput: () => resolve() });
    await begun;
    await guest.sandbox.signalProcess(running.pid, "TERM");
    expect((await followed.done).report).toMatchObject({ signal: "TERM" });
    expect((await followed.done).stdout.text).toBe("begun\n");
  });

  checks.check("folder and environment are what was asked, and nothing of the host's", async (bed) => {
    await using guest = await bed.guest();
    process.env["PADDOCK_CANARY"] = "canary-51c0";
    try {
      const { stdout } = await guest.run(
        ["/bin/sh", "-c", "pwd; echo $GREETING; env; cat /proc/1/environ | tr '\\0' ' '"],
        {
          cwd: "/tmp",
          env: { GREETING: "hello" },
        },
      );
      expect(stdout.text).toMatch(/^\/tmp\nhello\n/);
      expect(stdout.text).not.toContain("canary-51c0");
    } finally {
      delete process.env["PADDOCK_CANARY"];
    }
  });

  checks.check("eight calls run at the same time", async (bed) => {
    await using guest = await bed.guest();
    const runs = Array.from({ length: 8 }, async (_, index) => await guest.run(["/bin/echo", String(index)]));
    expect((await Promise.all(runs)).map(({ stdout }) => stdout.text)).toEqual(
      Array.from({ length: 8 }, (_, index) => `${index}\n`),
    );
  });
}
