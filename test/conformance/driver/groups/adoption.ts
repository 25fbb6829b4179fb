import { expect } from "vitest";
import { makeSandboxId, type SandboxId } from "../../../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../../../src/model/limits.ts";
import { Channel } from "../../../../src/sandbox/channel/channel.ts";
import { Sandbox } from "../../../../src/sandbox/sandbox.ts";
import { type Bed, makeBareSettings } from "../bed.ts";
import type { Checks } from "../check.ts";
import { oweNothing } from "../owe-nothing.ts";
import { livingRemains } from "../scan.ts";
import { startOwner } from "./owners.ts";

const GRACE_MS = 60_000;
const ADOPT_MS = 20_000;

/** Takes over a sandbox and opens its channel anew, as the fleet does. */
async function adoptSandbox(bed: Bed, id: SandboxId): Promise<{ sandbox: Sandbox; state: unknown }> {
  const signal = AbortSignal.timeout(ADOPT_MS);
  const adopted = await bed.driver.adopt?.(id, signal, oweNothing);
  if (adopted === undefined) throw new Error("the driver declares survivesOwner and has no adopt");
  const channel = await Channel.listen(adopted.socketDir, adopted.key, {
    relay: (tunnel) => tunnel.destroy(),
    breach: (error) => void adopted.host.kill(error.message),
  });
  const parts = { id, channel, host: adopted.host };
  return { sandbox: await Sandbox.open(parts, makeBareSettings(id, DEFAULT_LIMITS), signal), state: adopted.state };
}

export function checkAdoption(checks: Checks): void {
  checks.check(
    "a sandbox outlives its owner and goes on under the next, with its processes and files",
    async (bed) => {
      await using owner = await startOwner(checks.subject, bed, 1, { graceMs: GRACE_MS });
      await owner.kill();
      const [id] = owner.ids as [SandboxId];
      expect((await bed.driver.reap()).reaped).not.toContain(id);
      const { sandbox, state } = await adoptSandbox(bed, id);
      try {
        expect(state).toEqual({ note: "from the first owner" });
        const [listed] = await sandbox.processes();
        expect(listed).toMatchObject({ background: true, running: true });
        expect((await sandbox.files.read("note")).toString()).toBe("kept");
        expect((await sandbox.runProcess({ argv: ["/bin/echo", "on"] })).stdout.text).toBe("on\n");
        expect((await bed.driver.reap()).reaped).not.toContain(id);
      } finally {
        await sandbox.close();
        await bed.forgetRuns(owner.ids);
      }
    },
    { needs: ["survivesOwner", "module"] },
  );

  checks.check(
    "of two adopters one gets the sandbox",
    async (bed) => {
      await using owner = await startOwner(checks.subject, bed, 1, { graceMs: GRACE_MS });
      await owner.kill();
      const [id] = owner.ids as [SandboxId];
      await using other = {
        driver: await checks.subject.open(bed.home),
        [Symbol.asyncDispose]: () => other.driver[Symbol.asyncDispose](),
      };
      await other.driver.start();
      const signal = AbortSignal.timeout(ADOPT_MS);
      const results = await Promise.allSettled(
        [bed.driver, other.driver].map(async (driver) => await driver.adopt?.(id, signal, oweNothing)),
      );
      const won = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      const lost = results.flatMap((result) =>
        result.status === "rejected" ? [result.reason as { code: string }] : [],
      );
      expect(won).toHaveLength(1);
      expect(lost).toMatchObject([{ code: "adoption_refused" }]);
      await won[0]?.host.destroy();
      await bed.forgetRuns(owner.ids);
    },
    { needs: ["survivesOwner", "module"] },
  );

  checks.check(
    "what has a living owner, or does not exist, is not adopted",
    async (bed) => {
      await using owner = await startOwner(checks.subject, bed, 1, { graceMs: GRACE_MS });
      const [id] = owner.ids as [SandboxId];
      const signal = AbortSignal.timeout(ADOPT_MS);
      await expect(bed.driver.adopt?.(id, signal, oweNothing)).rejects.toMatchObject({ code: "adoption_refused" });
      await expect(bed.driver.adopt?.(makeSandboxId(), signal, oweNothing)).rejects.toMatchObject({
        code: "not_found",
      });
      expect(livingRemains(owner.ids)).not.toEqual([]);
      await owner.kill();
      const adopted = await bed.driver.adopt?.(id, AbortSignal.timeout(ADOPT_MS), oweNothing);
      await adopted?.host.destroy();
      await bed.forgetRuns(owner.ids);
    },
    { needs: ["survivesOwner", "module"] },
  );
}
