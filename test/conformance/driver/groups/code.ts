import { expect } from "vitest";
import type { Checks } from "../check.ts";

const DEADLINE_MS = 45_000;

export function checkCode(checks: Checks): void {
  for (const [nodeType, code, value] of [
    ["python", "sum(range(10))", "45"],
    ["javascript", "[1, 2, 3].map((n) => n * 2).join()", "2,4,6"],
  ] as const) {
    checks.check(`${nodeType} code runs on the warm interpreter and gives its value`, async (bed) => {
      await using guest = await bed.guest({ nodeType });
      for (let round = 0; round < 3; round++) {
        const run = await guest.sandbox.runCode({ language: nodeType, code, deadlineMs: DEADLINE_MS });
        expect(run.report).toMatchObject({ exit_code: 0, value, error: null });
      }
    });
  }

  checks.check("a context keeps state between runs, and other runs do not see it", async (bed) => {
    await using guest = await bed.guest({ nodeType: "python" });
    const run = (code: string, context?: string) =>
      guest.sandbox.runCode({
        language: "python",
        code,
        deadlineMs: DEADLINE_MS,
        ...(context === undefined ? {} : { context }),
      });
    await run("x = 41", "notebook");
    expect((await run("x + 1", "notebook")).report?.value).toBe("42");
    expect((await run("x")).report?.error?.name).toBe("NameError");
    expect((await guest.sandbox.contexts.list()).map(({ name }) => name)).toEqual(["notebook"]);
    await guest.sandbox.contexts.restart("notebook");
    expect((await run("x", "notebook")).report?.error?.name).toBe("NameError");
    await guest.sandbox.contexts.remove("notebook");
    expect(await guest.sandbox.contexts.list()).toEqual([]);
  });

  checks.check("code that never ends is interrupted in its context, which goes on", async (bed) => {
    await using guest = await bed.guest({ nodeType: "python" });
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const endless = guest.sandbox.runCode({
      language: "python",
      code: "y = 1\nprint('on', flush=True)\nwhile True: pass",
      context: "loop",
      deadlineMs: DEADLINE_MS,
      onOutput: () => resolve(),
    });
    await ready;
    await guest.sandbox.contexts.interrupt("loop");
    expect((await endless).report?.error?.name).toBe("KeyboardInterrupt");
    const after = await guest.sandbox.runCode({
      language: "python",
      code: "y",
      context: "loop",
      deadlineMs: DEADLINE_MS,
    });
    expect(after.report?.value).toBe("1");
  });
}
