import { mkdirSync } from "node:fs";
import { type App, createApp } from "../../src/app.ts";
import type { Config } from "../../src/config/config.ts";
import { resolveHome } from "../../src/config/home.ts";

/** Names the project that runs beside others (scripts/test.sh), and which of its workers this is. */
const LANE = process.env["PADDOCK_TEST_LANE"];
const WORKER = process.env["VITEST_POOL_ID"] ?? "1";

const parts = ["paddock-test", process.getuid?.() ?? 0, ...(LANE ? [LANE] : []), ...(WORKER === "1" ? [] : [WORKER])];

/**
 * The data folder of the suites of one worker. It is kept between runs, so that templates and the copy of Node are made
 * once, and lies where a sandbox's uid can walk (a clone may lie below a private home).
 */
export const TEST_HOME = `/var/tmp/${parts.join("-")}`;

export async function openTestApp(config: Partial<Config> = {}): Promise<App> {
  mkdirSync(TEST_HOME, { recursive: true, mode: 0o711 });
  return await createApp({ env: testEnv(), config });
}

export function testEnv(): NodeJS.ProcessEnv {
  return { ...process.env, PADDOCK_HOME: TEST_HOME };
}

export const testHome = resolveHome(testEnv(), process.getuid?.() ?? 0);
