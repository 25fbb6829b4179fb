import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Bed } from "./bed.ts";
import { Checks } from "./check.ts";
import { checkAdoption } from "./groups/adoption.ts";
import { checkCode } from "./groups/code.ts";
import { checkFiles } from "./groups/files.ts";
import { checkIsolation } from "./groups/isolation.ts";
import { checkKill } from "./groups/kill.ts";
import { checkLifecycle } from "./groups/lifecycle.ts";
import { checkLimits } from "./groups/limits.ts";
import { checkNetwork } from "./groups/network.ts";
import { checkPause } from "./groups/pause.ts";
import { checkProcesses } from "./groups/processes.ts";
import { checkReaping } from "./groups/reaping.ts";
import { checkStats } from "./groups/stats.ts";
import { checkVolumes } from "./groups/volumes.ts";
import type { CheckGroup, DriverSubject } from "./subject.ts";

export type { DriverSubject } from "./subject.ts";

const GROUPS: Readonly<Record<CheckGroup, (checks: Checks) => void>> = {
  lifecycle: checkLifecycle,
  processes: checkProcesses,
  code: checkCode,
  files: checkFiles,
  network: checkNetwork,
  limits: checkLimits,
  kill: checkKill,
  stats: checkStats,
  pause: checkPause,
  reaping: checkReaping,
  adoption: checkAdoption,
  volumes: checkVolumes,
  isolation: checkIsolation,
};

/**
 * Defines the conformance tests of a driver (Vitest). They start real sandboxes with a real supervisor, channel and
 * egress proxy, and look at the host's own evidence; nothing in them is imitated. docs/conformance.md says how a driver
 * outside this package runs them.
 */
export function testDriverConformance(subject: DriverSubject): void {
  describe(`driver ${subject.name}`, () => {
    let bed: Bed;
    const checks = new Checks(subject, () => bed);
    beforeAll(async () => {
      bed = await Bed.open(subject);
      await bed.driver.reap();
    });
    afterAll(async () => {
      await bed[Symbol.asyncDispose]();
    });
    const chosen: readonly string[] = subject.groups ?? Object.keys(GROUPS);
    for (const [name, define] of Object.entries(GROUPS)) {
      if (chosen.includes(name)) describe(name, () => define(checks));
      else checks.leaveOut(define);
    }
    describe("end", () => {
      checks.checkSkips();
      test("nothing is left of any sandbox", async () => {
        expect(bed.ids.length).toBeGreaterThan(0);
        expect(await bed.awaitGone(bed.ids)).toEqual([]);
      });
    });
  });
}
