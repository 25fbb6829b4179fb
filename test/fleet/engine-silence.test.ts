import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type App, createApp } from "../../src/app.ts";
import type { SandboxId } from "../../src/model/ids.ts";
import { lacksEngine } from "../support/engine.ts";
import { EngineWire } from "../support/engine-wire.ts";
import { TEST_HOME, testHome } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";
import { onStep } from "../support/on-step.ts";
import { expectGone } from "../support/remains.ts";
import { leaseFile } from "../support/slow-removal.ts";

const ROOT = `${TEST_HOME}-engine-silence`;
const OWNER = fileURLToPath(new URL("adopting-owner.ts", import.meta.url));

interface Owned {
  container: { orphaned_at: number | null; generation: number; adoption: { payload: { state: { version: number } } } };
}

describe.skipIf(lacksEngine())("engine silence", () => {
  let wire: EngineWire;
  let wires = 0;
  let app: App;
  let env: NodeJS.ProcessEnv = {};

  beforeAll(async () => {
    await ensureImage("base");
    mkdirSync(ROOT, { recursive: true, mode: 0o711 });
    copyFileSync(join(testHome.root, "images.json"), join(ROOT, "images.json"));
  }, 290_000);

  beforeEach(async () => {
    // Each has its own path: connections that are kept for a path do not outlive the wire.
    wires += 1;
    wire = await EngineWire.open(join(ROOT, `engine-${wires}.sock`));
    env = { ...process.env, PADDOCK_HOME: ROOT, DOCKER_HOST: wire.host };
    app = await createApp({ env, config: { driver: "docker" } });
    await app.fleet.start();
  });
  afterEach(async () => {
    await app[Symbol.asyncDispose]();
    await wire[Symbol.asyncDispose]();
  });

  test("engine silence - a create that is abandoned meanwhile is removed by a sweep of the same process", async () => {
    const leaving = new AbortController();
    let id = "";
    using _made = onStep("container made", (sandboxId) => {
      id = sandboxId;
      wire.cut();
      leaving.abort();
    });
    const making = leaseFile(app.fleet, { signal: leaving.signal });
    await expect(making).rejects.toMatchObject({ code: "cancelled" });
    await wire.mend();
    expect(await app.fleet.reap()).toMatchObject({ reaped: [id], failed: [] });
    await expectGone([id], app.config.home);
  });

  /** A sandbox without owner, whose record says where the wire is. */
  async function orphan(change: (record: Owned) => void): Promise<SandboxId> {
    const owner = spawn(process.execPath, [OWNER], { env, stdio: ["ignore", "pipe", "inherit"] });
    const [id] = (await once(createInterface({ input: owner.stdout }), "line")) as [SandboxId];
    owner.kill("SIGKILL");
    await once(owner, "exit");
    const path = join(app.config.home.owners, id);
    const read = (): Owned => JSON.parse(readFileSync(path, "utf8")) as Owned;
    await expect.poll(() => read().container.orphaned_at, { timeout: 10_000 }).not.toBeNull();
    const record = read();
    change(record);
    writeFileSync(path, JSON.stringify(record));
    return id;
  }

  test.each<[string, (record: Owned) => void]>([
    ["the driver", ({ container }) => (container.generation += 1)],
    ["the fleet", ({ container }) => (container.adoption.payload.state.version = 2)],
  ])(
    "engine silence - what %s took over and refused is removed by a sweep of the same process",
    async (_who, change) => {
      const id = await orphan(change);
      wire.cutAfter(/^GET \/containers\/paddock-sbx_\w+\/json/);
      const adopting = app.fleet.adopt(id, AbortSignal.timeout(30_000));
      await expect(adopting).rejects.toMatchObject({ code: "adoption_refused" });
      await wire.mend();
      expect(await app.fleet.reap()).toMatchObject({ reaped: [id], failed: [] });
      await expectGone([id], app.config.home);
    },
  );
});
