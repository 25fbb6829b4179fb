import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type App, createApp } from "../../src/app.ts";
import { makeLeasePlace } from "../../src/executor/lease-place.ts";
import type { Lease } from "../../src/fleet/fleet.ts";
import { makeVolumeId, type VolumeId } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { CrashSite } from "../support/crash.ts";
import { lacksEngine } from "../support/engine.ts";
import { TEST_HOME, testHome } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";

const BYTES = 32 * 1024 * 1024;
const SIGNAL_MS = 60_000;

const signal = (): AbortSignal => AbortSignal.timeout(SIGNAL_MS);

function leaseOver(app: App, volumeId: VolumeId): Promise<Lease> {
  return app.fleet.lease({
    nodeType: "python",
    limits: { ...DEFAULT_LIMITS, workspaceBytes: BYTES },
    network: "none",
    env: {},
    bare: true,
    signal: signal(),
    onProgress: () => undefined,
    workspace: { kind: "volume", volumeId, readOnly: false },
    workspacePath: "/agent",
  });
}

const DRIVERS = [
  ["bubblewrap", ["driver made it", "supervisor answered", "closing", "driver removed it"], false],
  ["docker", ["container started", "container removed"], lacksEngine()],
] as const;

for (const [driver, steps, isMissing] of DRIVERS)
  describe.skipIf(isMissing)(`volumes - ${driver}`, () => {
    const root = `${TEST_HOME}-volumes`;
    let app: App;

    beforeAll(async () => {
      mkdirSync(root, { recursive: true, mode: 0o711 });
      if (driver === "docker") await ensureImage("base");
      const images = join(testHome.root, "images.json");
      if (existsSync(images)) copyFileSync(images, join(root, "images.json"));
      app = await createApp({ env: { ...process.env, PADDOCK_HOME: root }, config: { driver } });
    }, 290_000);
    afterAll(() => app?.[Symbol.asyncDispose]());

    async function makeVolume(): Promise<AsyncDisposable & { readonly id: VolumeId }> {
      const id = makeVolumeId();
      await app.fleet.volumes.make(id, BYTES);
      return { id, [Symbol.asyncDispose]: () => app.fleet.volumes.remove(id) };
    }

    test("tasks work at /agent: tools with relative paths, programs of the workspace first in PATH, home elsewhere", async () => {
      await using volume = await makeVolume();
      const look = "echo $PWD; echo $HOME; echo $PATH; hello";
      const run = async (): Promise<readonly string[]> => {
        await using lease = await leaseOver(app, volume.id);
        const program = { path: ".venv/bin/hello", content: "#!/bin/sh\necho $0 from $(cat data/note)\n" };
        const result = await app.executor.runTask(
          {
            node_type: "python",
            tool_calls: [
              { tool: "write_file", input: { path: "data/note", content: "relative" } },
              { tool: "write_file", input: program },
              { tool: "run_command", input: { command: "chmod 755 .venv/bin/hello" } },
              { tool: "run_command", input: { command: look } },
            ],
          },
          { place: makeLeasePlace(lease) },
        );
        expect(result.tool_calls.map(({ verdict }) => verdict)).toEqual(["ok", "ok", "ok", "ok"]);
        return (result.tool_calls[3]?.stdout?.text ?? "").trim().split("\n");
      };
      const [folder, home, path, hello] = await run();
      expect([folder, home, hello]).toEqual(["/agent", "/tmp", "/agent/.venv/bin/hello from relative"]);
      expect(path).toMatch(/^\/agent\/\.venv\/bin:\/agent\/node_modules\/\.bin:/);
      expect((await run())[3]).toBe(hello);
    });

    test("a porter reads and writes a volume that sleeps, and waits for none that is awake", async () => {
      await using volume = await makeVolume();
      const { fleet } = app;
      {
        await using lease = await leaseOver(app, volume.id);
        await lease.sandbox.files.write("made/note", "by the agent");
        await expect(fleet.openVolumePorter(volume.id, true, signal())).rejects.toMatchObject({ code: "capacity" });
      }
      {
        await using porter = await fleet.openVolumePorter(volume.id, true, signal());
        expect((await porter.sandbox.files.read("made/note")).toString()).toBe("by the agent");
        await expect(porter.sandbox.files.write("made/more", "x")).rejects.toMatchObject({ code: "file_error" });
      }
      {
        await using porter = await fleet.openVolumePorter(volume.id, false, signal());
        await porter.sandbox.files.write("made/more", "by a porter");
      }
      await using lease = await leaseOver(app, volume.id);
      const { stdout } = await lease.sandbox.runProcess({ argv: ["sh", "-c", "echo x >> made/more && cat made/more"] });
      expect(stdout.text).toBe("by a porterx\n");
    });

    test("a volume that does not exist is not found", async () => {
      await expect(leaseOver(app, makeVolumeId())).rejects.toMatchObject({ code: "not_found" });
    });

    test(`SIGKILL at steps of making and removing its sandbox leaves the volume with its files, and nothing else`, {
      timeout: 120_000,
    }, async () => {
      const site = new CrashSite(driver);
      const id = makeVolumeId();
      expect(await site.clear()).toEqual([]);
      for (const [round, step] of steps.entries()) {
        const victim = site.startLibrary("volume", step, round % 2 === 1 ? "launcher" : "alone", id);
        await victim.died();
        await using next = await site.open();
        await using lease = await leaseOver(next, id);
        const { stdout } = await lease.sandbox.runProcess({ argv: ["sh", "-c", "cat turns"] });
        // Each victim writes its own line before it takes the step a second time.
        expect([step, stdout.text]).toEqual([
          step,
          steps
            .slice(0, round + 1)
            .map((one) => `${one}\n`)
            .join(""),
        ]);
      }
      {
        await using last = await site.open();
        expect(await last.fleet.volumes.list()).toContain(id);
        await last.fleet.volumes.remove(id);
      }
      expect(await site.clear()).toEqual([]);
    });
  });
