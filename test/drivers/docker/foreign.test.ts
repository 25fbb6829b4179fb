import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveHome } from "../../../src/config/home.ts";
import { nameContainer } from "../../../src/drivers/docker/create.ts";
import type { Engine } from "../../../src/drivers/docker/engine/engine.ts";
import { readFleetId } from "../../../src/drivers/docker/fleet-id.ts";
import { makeSandboxId, type SandboxId } from "../../../src/model/ids.ts";
import { oweNothing } from "../../conformance/driver/owe-nothing.ts";
import { lacksEngine, testEngine } from "../../support/engine.ts";
import { type Harness, openEngine, openHarness } from "./harness.ts";

describe.skipIf(lacksEngine())("containers that bear our names and are not ours", () => {
  let harness: Harness;
  let engine: Engine;

  beforeAll(async () => {
    harness = await openHarness();
    engine = await openEngine();
    await harness.driver.start();
  }, 60_000);
  afterAll(() => harness[Symbol.asyncDispose]());

  async function takeName(id: SandboxId): Promise<AsyncDisposable & { readonly exists: () => Promise<boolean> }> {
    const body = { Image: harness.image, Cmd: ["true"] };
    const made = await engine.createContainer(nameContainer(id), body, AbortSignal.timeout(20_000));
    return {
      exists: async () => (await engine.inspectContainer(made)) !== undefined,
      [Symbol.asyncDispose]: async () => void (await engine.removeContainer(made)),
    };
  }

  function plantRecord(id: SandboxId, containerId: string | null): void {
    const fixed = { generation: 1, held: {}, ended_lock: null, shares_lock: false, adoption: null };
    const named = { name: nameContainer(id), socket: testEngine().socket, id: containerId, started_at: containerId };
    const record = { id, driver: "docker", uid: null, groups: [], runDir: null, workspace: null, processes: [] };
    writeFileSync(join(harness.home.owners, id), JSON.stringify({ ...record, container: { ...fixed, ...named } }));
  }

  test.each([null, "b".repeat(64)])(
    "a reaped record (container id %s) leaves one alone that only has its name",
    async (known) => {
      const id = makeSandboxId();
      await using foreign = await takeName(id);
      plantRecord(id, known);
      expect(await harness.driver.reap()).toEqual({ reaped: [id], failed: [] });
      expect(await foreign.exists()).toBe(true);
    },
    30_000,
  );

  test("a create whose name is taken fails and leaves the other's container alone", async () => {
    const spec = harness.makeSpec();
    await using foreign = await takeName(spec.id);
    await expect(harness.driver.create(spec, AbortSignal.timeout(20_000), oweNothing)).rejects.toMatchObject({
      code: "engine_failed",
    });
    expect(await foreign.exists()).toBe(true);
    expect(existsSync(join(harness.home.owners, spec.id))).toBe(false);
  });

  test("a copy of the data folder touches none of the original's sandboxes", async () => {
    await using guest = await harness.open();
    const root = join(harness.home.root, "..", "copy");
    mkdirSync(root, { mode: 0o711 });
    for (const name of ["owners", "fleet-id"])
      cpSync(join(harness.home.root, name), join(root, name), { recursive: true });
    const copy = await openHarness({ home: resolveHome({ PADDOCK_HOME: root }, 0) });
    try {
      expect(await copy.driver.reap()).toEqual({ reaped: [], failed: [] });
      rmSync(join(root, "owners", guest.spec.id));
      expect(await readFleetId(root)).not.toBe(await readFleetId(harness.home.root));
      expect(readFileSync(join(root, "fleet-id"), "utf8")).not.toBe(
        readFileSync(join(harness.home.root, "fleet-id"), "utf8"),
      );
      expect((await guest.run("true")).code).toBe(0);
    } finally {
      await copy[Symbol.asyncDispose]();
    }
  }, 60_000);
});
