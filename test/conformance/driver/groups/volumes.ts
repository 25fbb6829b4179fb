import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { SandboxSpec, Volumes } from "../../../../src/drivers/driver.ts";
import { makeVolumeId, type SandboxId, type VolumeId } from "../../../../src/model/ids.ts";
import type { Bed } from "../bed.ts";
import type { Checks } from "../check.ts";
import type { Guest } from "../guest.ts";
import { oweNothing } from "../owe-nothing.ts";
import { awaitEmpty, livingRemains } from "../scan.ts";
import { startOwner } from "./owners.ts";

const VOLUME_BYTES = 32 * 1024 * 1024;
const DEAD_MS = 20_000;
const GRACE_MS = 60_000;
const ADOPT_MS = 20_000;

const READ = "result = open('/agent/note').read()";
const WRITE = "result = open('/agent/note', 'w').write('kept')";

function volumesOf({ driver }: Bed): Volumes {
  if (driver.volumes === undefined) throw new Error("the driver has no volumes");
  return driver.volumes;
}

const specOf = (volumeId: VolumeId, readOnly = false): Pick<SandboxSpec, "workspace" | "workspacePath"> => ({
  workspacePath: "/agent",
  workspace: { kind: "volume", volumeId, readOnly },
});

const use = (bed: Bed, id: VolumeId, readOnly = false): Promise<Guest> => bed.guest({ spec: specOf(id, readOnly) });

async function makeVolume(bed: Bed): Promise<AsyncDisposable & { readonly id: VolumeId }> {
  const id = makeVolumeId();
  await volumesOf(bed).make(id, VOLUME_BYTES);
  return { id, [Symbol.asyncDispose]: () => volumesOf(bed).remove(id) };
}

async function expectInUse(attempt: Promise<unknown>): Promise<void> {
  await expect(attempt).rejects.toMatchObject({ code: "capacity" });
}

export function checkVolumes(checks: Checks): void {
  checkLasting(checks);
  checkSharing(checks);
  checkDeadOwners(checks);
}

function checkLasting(checks: Checks): void {
  checks.check(
    "what one sandbox writes to a volume, the next one reads, under the same user",
    async (bed) => {
      await using volume = await makeVolume(bed);
      {
        await using first = await use(bed, volume.id);
        expect(await first.python(`${WRITE}\nimport os\nos.chmod('/agent/note', 0o600)\nresult = os.getcwd()`)).toBe(
          "/agent",
        );
        const { distinct_uid } = first.host.isolation;
        await using other = await bed.guest();
        expect(distinct_uid).toBe(other.host.isolation.distinct_uid);
      }
      await using second = await use(bed, volume.id);
      expect(await second.python(READ)).toBe("kept");
      expect((await second.sandbox.files.read("note")).toString()).toBe("kept");
      await second.sandbox.files.write("made/by/path", "x");
      expect((await second.run(["cat", "made/by/path"])).stdout.text).toBe("x");
    },
    { needs: ["volumes"] },
  );

  checks.check(
    "making a volume again leaves it as it is; what was removed is gone, and may be removed and made again",
    async (bed) => {
      const volumes = volumesOf(bed);
      const { id } = await makeVolume(bed);
      {
        await using guest = await use(bed, id);
        await guest.python(WRITE);
        await volumes.make(id, VOLUME_BYTES);
      }
      await volumes.make(id, VOLUME_BYTES);
      {
        await using guest = await use(bed, id, true);
        expect(await guest.python(READ)).toBe("kept");
      }
      expect(await volumes.list()).toContain(id);
      await volumes.remove(id);
      await volumes.remove(id);
      expect(await volumes.list()).not.toContain(id);
      await expect(use(bed, id)).rejects.toMatchObject({ code: "not_found" });
      await volumes.make(id, VOLUME_BYTES);
      {
        await using guest = await use(bed, id);
        expect(await guest.python("import os\nresult = os.listdir('/agent')")).toEqual([]);
      }
      await volumes.remove(id);
    },
    { needs: ["volumes"] },
  );

  checks.check(
    "links in a volume lead nowhere on the host, neither in use nor in removal",
    async (bed) => {
      const outside = mkdtempSync(join(bed.home.root, "outside-"));
      writeFileSync(join(outside, "file"), "ours");
      try {
        const { id } = await makeVolume(bed);
        for (const target of [outside, join(outside, "file")]) {
          await using guest = await use(bed, id);
          const plant = `import os\nfor name in ('link', 'tree', 'mount', 'owner.json'):\n    os.path.lexists(name) and os.unlink(name)\n    os.symlink(${JSON.stringify(target)}, name)\nresult = os.path.exists('link')`;
          expect(await guest.python(plant)).toBe(false);
        }
        await volumesOf(bed).remove(id);
        expect(readFileSync(join(outside, "file"), "utf8")).toBe("ours");
      } finally {
        rmSync(outside, { recursive: true });
      }
    },
    { needs: ["volumes"] },
  );
}

function checkSharing(checks: Checks): void {
  checks.check(
    "a volume has one writer, also when two come at once, or any number of readers that cannot write",
    async (bed) => {
      await using volume = await makeVolume(bed);
      const { id } = volume;
      {
        const rivals = [use(bed, id), use(bed, id)];
        await using writer = await Promise.any(rivals);
        await writer.python(WRITE);
        const late = [use(bed, id, true), volumesOf(bed).remove(id)].map(expectInUse);
        const results = await Promise.allSettled(rivals);
        expect(results.filter(({ status }) => status === "rejected")).toMatchObject([{ reason: { code: "capacity" } }]);
        await Promise.all(late);
        expect(await writer.python(READ)).toBe("kept");
      }
      await using one = await use(bed, id, true);
      await using two = await use(bed, id, true);
      for (const reader of [one, two]) {
        expect(await reader.python(READ)).toBe("kept");
        await expect(reader.python(WRITE)).rejects.toThrow("Read-only file system");
      }
      await Promise.all([use(bed, id), volumesOf(bed).remove(id)].map(expectInUse));
    },
    { needs: ["volumes"] },
  );

  checks.check(
    "who comes while the last sandbox of a volume is going gets the volume",
    async (bed) => {
      await using volume = await makeVolume(bed);
      let guest = await use(bed, volume.id);
      for (let turn = 0; turn < 3; turn++) {
        await guest.python(`result = open('/agent/turns', 'a').write('${turn}')`);
        const [next] = await Promise.all([use(bed, volume.id), guest[Symbol.asyncDispose]()]);
        guest = next;
      }
      await using last = guest;
      expect(await last.python("result = open('/agent/turns').read()")).toBe("012");
    },
    { needs: ["volumes"] },
  );
}

function checkDeadOwners(checks: Checks): void {
  checks.check(
    "a volume outlives the death of an owner that wrote to it, and nothing else does",
    async (bed) => {
      await using volume = await makeVolume(bed);
      await using owner = await startOwner(checks.subject, bed, 1, { volumeId: volume.id });
      await owner.kill();
      expect(await awaitEmpty(() => livingRemains([...owner.ids, volume.id]), DEAD_MS)).toEqual([]);
      const { reaped, failed } = await bed.driver.reap();
      expect(failed).toEqual([]);
      expect(reaped).not.toContain(volume.id);
      await bed.forgetRuns(owner.ids);
      expect(await bed.awaitGone(owner.ids)).toEqual([]);
      await using guest = await use(bed, volume.id);
      expect(await guest.python(READ)).toBe("kept");
    },
    { needs: ["volumes", "module"] },
  );

  checks.check(
    "a volume is in use while a sandbox lives that outlived its owner",
    async (bed) => {
      await using volume = await makeVolume(bed);
      await using owner = await startOwner(checks.subject, bed, 1, { volumeId: volume.id, graceMs: GRACE_MS });
      await owner.kill();
      await Promise.all([use(bed, volume.id), volumesOf(bed).remove(volume.id)].map(expectInUse));
      const adopted = await bed.driver.adopt?.(owner.ids[0] as SandboxId, AbortSignal.timeout(ADOPT_MS), oweNothing);
      await adopted?.host.destroy();
      await bed.forgetRuns(owner.ids);
      await using guest = await use(bed, volume.id);
      expect(await guest.python(READ)).toBe("kept");
    },
    { needs: ["volumes", "survivesOwner", "module"] },
  );
}
