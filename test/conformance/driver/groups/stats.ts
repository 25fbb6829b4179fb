import { expect } from "vitest";
import type { Checks } from "../check.ts";
import { until } from "../scan.ts";

const MIB = 1024 * 1024;

export function checkStats(checks: Checks): void {
  checks.check("cpu: the host's count rises with what is used, and not otherwise", async (bed) => {
    await using guest = await bed.guest();
    const before = guest.host.usage().cpuTotalUs ?? Number.NaN;
    await guest.python(
      "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\nresult = 1",
    );
    const after = guest.host.usage().cpuTotalUs ?? Number.NaN;
    expect(after - before).toBeGreaterThan(400_000);
    expect(after - before).toBeLessThan(3_000_000);
  });

  checks.check("memory: the peak shows what was held and starts again after a reset", async (bed) => {
    await using guest = await bed.guest();
    await guest.python("b = bytearray(150 << 20)\nresult = len(b)");
    expect(guest.host.usage().memoryPeakBytes).toBeGreaterThan(140 * MIB);
    // A kernel of its own gives memory back a moment later.
    await until(() => (guest.host.usage().memoryBytes ?? 0) < 120 * MIB);
    expect(guest.host.resetPeak()).toBe(true);
    expect(guest.host.usage().memoryPeakBytes).toBeLessThan(120 * MIB);
  });

  checks.check("counters begin at nothing", async (bed) => {
    await using guest = await bed.guest();
    expect(guest.host.usage()).toMatchObject({ oomKills: 0, pidsRefused: 0 });
  });
}
