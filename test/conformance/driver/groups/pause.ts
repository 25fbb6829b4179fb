import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { Checks } from "../check.ts";
import type { Guest } from "../guest.ts";
import { until } from "../scan.ts";

const LOOK_MS = 300;

async function measureCpuUs(guest: Guest): Promise<number> {
  const before = guest.host.usage().cpuTotalUs ?? Number.NaN;
  await sleep(LOOK_MS);
  return (guest.host.usage().cpuTotalUs ?? Number.NaN) - before;
}

export function checkPause(checks: Checks): void {
  checks.check(
    "what is paused uses no cpu, and goes on where it was",
    async (bed) => {
      await using guest = await bed.guest();
      const { promise: ready, resolve } = Promise.withResolvers<void>();
      await guest.startPython("print('on', flush=True)\nwhile True: pass", { onOutput: () => resolve() });
      await ready;
      await guest.host.pause?.();
      expect(await measureCpuUs(guest)).toBeLessThan(20_000);
      await guest.host.resume?.();
      const before = guest.host.usage().cpuTotalUs ?? Number.NaN;
      await until(() => (guest.host.usage().cpuTotalUs ?? Number.NaN) - before > 100_000);
      expect((await guest.run(["/bin/echo", "on"])).stdout.text).toBe("on\n");
    },
    { needs: ["pause"] },
  );

  checks.check(
    "a paused sandbox can be killed and destroyed",
    async (bed) => {
      await using guest = await bed.guest();
      await guest.host.pause?.();
      await guest.host.kill("paused");
      expect(await guest.host.ended).toEqual({ kind: "killed", detail: "paused" });
    },
    { needs: ["pause"] },
  );
}
