import { chmodSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type App, createApp } from "../../src/app.ts";
import { resolveHome } from "../../src/config/home.ts";
import type { Lease } from "../../src/fleet/fleet.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { testHome } from "../support/home.ts";

const BUILD_MS = 120_000;
let root = "";

beforeEach(() => {
  root = mkdtempSync("/var/tmp/paddock-pruned-");
  chmodSync(root, 0o711);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A data folder with templates of its own. */
async function open(): Promise<App> {
  const env = { ...process.env, PADDOCK_HOME: root };
  const home = { ...resolveHome(env, process.getuid?.() ?? 0), bin: testHome.bin };
  return await createApp({ env, config: { home, driver: "bubblewrap" } });
}

async function lease(app: App): Promise<{ readonly made: Lease; readonly isBuilt: boolean }> {
  const said: string[] = [];
  const made = await app.fleet.lease({
    ...({ nodeType: "javascript", limits: DEFAULT_LIMITS, network: "none", env: {}, bare: false } as const),
    signal: AbortSignal.timeout(BUILD_MS),
    onProgress: (message) => said.push(message),
  });
  return { made, isBuilt: said.some((message) => message.startsWith("building")) };
}

test(
  "templates prune - a process whose template another one has pruned builds it again",
  async () => {
    await using app = await open();
    await using other = await open();
    const first = await lease(app);
    const [template] = await app.fleet.templates.list();
    const { hash = "" } = template?.manifest ?? {};
    expect([first.isBuilt, await other.fleet.templates.prune({ all: true })]).toEqual([
      true,
      { removed: [], inUse: [hash] },
    ]);
    await first.made.close();
    expect(await other.fleet.templates.prune({ all: true })).toEqual({ removed: [hash], inUse: [] });
    const second = await lease(app);
    expect(second.isBuilt).toBe(true);
    await second.made.close();

    // As a prune that was killed leaves it.
    const folder = join(root, "templates", hash);
    renameSync(join(folder, "manifest.json"), join(folder, "withdrawn.json"));
    const third = await lease(app);
    expect(third.isBuilt).toBe(false);
    await third.made.close();
  },
  BUILD_MS,
);
