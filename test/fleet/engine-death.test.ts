import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type App, createApp } from "../../src/app.ts";
import { resolveHome } from "../../src/config/home.ts";
import type { Lease } from "../../src/index.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { TaskInput } from "../../src/model/task.ts";
import { livingRemains, storedRemains } from "../conformance/driver/scan.ts";
import { lacksEngine } from "../support/engine.ts";
import { TEST_HOME, testHome } from "../support/home.ts";
import { ensureImage } from "../support/images.ts";
import { OwnEngine } from "../support/own-engine.ts";
import { expectSoonEmpty } from "../support/remains.ts";

const ROOT = `${TEST_HOME}-engine-death`;
const signal = (): AbortSignal => AbortSignal.timeout(40_000);
const SLEEPER: TaskInput = {
  code: { language: "bash", source: "echo on; sleep 60" },
  node_type: "file",
  bare: true,
  network: "none",
};

describe.skipIf(lacksEngine())("engine death", () => {
  const engine = new OwnEngine(join(ROOT, "engine"));
  const env = { ...process.env, PADDOCK_HOME: join(ROOT, "home"), DOCKER_HOST: engine.host };
  const home = resolveHome(env, process.getuid?.() ?? 0);
  const apps: App[] = [];

  beforeAll(async () => {
    const id = await ensureImage("base");
    mkdirSync(home.root, { recursive: true, mode: 0o711 });
    copyFileSync(join(testHome.root, "images.json"), join(home.root, "images.json"));
    await engine.start({ liveRestore: true });
    engine.load(id);
    await engine.kill();
  }, 290_000);

  afterEach(async () => {
    for (const app of apps.splice(0)) await app[Symbol.asyncDispose]();
    expect(engine.listContainers()).toEqual([]);
    await expectSoonEmpty(() => engine.listShims());
    await engine.kill();
  });

  afterAll(() => engine[Symbol.asyncDispose](), 60_000);

  const gone = new Set<string>();

  async function expectGone(...ids: readonly string[]): Promise<void> {
    await expectSoonEmpty(() => [...livingRemains(ids), ...storedRemains(ids, home)]);
    for (const id of ids) gone.add(id);
  }

  async function open(): Promise<App> {
    const app = await createApp({ env, config: { driver: "docker" } });
    apps.push(app);
    return app;
  }

  const lease = (app: App): Promise<Lease> =>
    app.fleet.lease({
      nodeType: "file",
      limits: DEFAULT_LIMITS,
      network: "none",
      env: {},
      bare: true,
      signal: signal(),
      onProgress: () => undefined,
    });

  const echo = async ({ sandbox }: Lease, word: string): Promise<string> =>
    (await sandbox.runProcess({ argv: ["/bin/echo", word] })).stdout.text;

  test("engine death - with live-restore sandboxes and their calls go on, while it is dead and after", async () => {
    await engine.start({ liveRestore: true });
    const one = await lease(await open());
    const running = await one.sandbox.startProcess({ argv: ["/bin/sh", "-c", "read go; echo $go"], stdin: true });
    await engine.kill();
    expect(await echo(one, "dead")).toBe("dead\n");
    await engine.start({ liveRestore: true });
    expect(await echo(one, "again")).toBe("again\n");
    await running.write("through\n");
    expect((await running.done).stdout.text).toBe("through\n");
    expect(one.sandbox.usage().memoryBytes).toBeGreaterThan(0);
    await one.close();
    await expectGone(one.sandbox.id);
  });

  test("engine death - without live-restore calls end as lost when it is back, and the next sandbox works", async () => {
    await engine.start({ liveRestore: false });
    const app = await open();
    const { promise: on, resolve } = Promise.withResolvers<void>();
    const ran = app.executor.runTask(SLEEPER, {
      signal: signal(),
      watcher: { output: () => resolve() },
    });
    await on;
    await engine.kill();
    await engine.start({ liveRestore: false });
    const { status, tool_calls: calls } = await ran;
    expect([status, calls[0]?.verdict]).toEqual(["failed", "lost"]);
    expect(calls[0]?.error).toMatchObject({
      code: "sandbox_lost",
      message: expect.stringMatching(/ended|gone/) as string,
    });
    await using next = await lease(app);
    expect(await echo(next, "recovered")).toBe("recovered\n");
    await next.close();
    await expectGone(calls[0]?.sandbox_id ?? "", next.sandbox.id);
  });

  test("engine death - a sandbox closed while it is dead stops running at once, and a sweep after removes it", async () => {
    await engine.start({ liveRestore: true });
    const app = await open();
    const one = await lease(app);
    await engine.kill();
    await expect(one.close()).rejects.toMatchObject({ code: "engine_unavailable" });
    await expectSoonEmpty(() => livingRemains([one.sandbox.id]).filter((item) => item.startsWith("process")));
    await expect(app.fleet.reap()).rejects.toMatchObject({ code: "engine_unavailable" });
    await engine.start({ liveRestore: true });
    const { reaped, failed } = await app.fleet.reap();
    // A sandbox that lived over a restart of the engine leaves an empty volume there (docs/docker.md); its age decides
    // which sweep takes it.
    expect([reaped.filter((id) => !gone.has(id)), failed]).toEqual([[one.sandbox.id], []]);
    await expectGone(one.sandbox.id);
  });
});
