import { expect } from "vitest";
import type { Checks } from "../check.ts";
import { awaitEmpty, livingRemains } from "../scan.ts";
import { startOwner } from "./owners.ts";

const DEAD_MS = 20_000;

export function checkReaping(checks: Checks): void {
  checks.check(
    "a reap beside a living owner takes nothing of it",
    async (bed) => {
      await using owner = await startOwner(checks.subject, bed, 1);
      await using mine = await bed.guest();
      const { reaped, failed } = await bed.driver.reap();
      expect(failed).toEqual([]);
      for (const id of [...owner.ids, mine.id]) expect(reaped).not.toContain(id);
      expect(livingRemains(owner.ids)).not.toEqual([]);
      expect(await mine.python("result = 2")).toBe(2);
      await owner.kill();
      await awaitEmpty(() => livingRemains(owner.ids), DEAD_MS);
      await bed.driver.reap();
      await bed.forgetRuns(owner.ids);
    },
    { needs: ["module"] },
  );

  checks.check(
    "what a killed owner had is gone soon, and a reap removes the rest",
    async (bed) => {
      await using owner = await startOwner(checks.subject, bed, 2);
      expect(livingRemains(owner.ids)).not.toEqual([]);
      await owner.kill();
      expect(await awaitEmpty(() => livingRemains(owner.ids), DEAD_MS)).toEqual([]);
      expect((await bed.driver.reap()).failed).toEqual([]);
      await bed.forgetRuns(owner.ids);
      expect(await bed.awaitGone(owner.ids)).toEqual([]);
    },
    { needs: ["module"] },
  );
}
