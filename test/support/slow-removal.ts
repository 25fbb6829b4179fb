import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import type { App } from "../../src/app.ts";
import type { Config } from "../../src/config/config.ts";
import { BubblewrapDriver } from "../../src/drivers/bubblewrap/driver.ts";
import type { BubblewrapOptions } from "../../src/drivers/bubblewrap/options.ts";
import { Fleet, type Lease, type LeaseRequest } from "../../src/fleet/fleet.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { openTestApp, testEnv } from "./home.ts";

/** How long the launcher of such a fleet tries to remove something. */
const REMOVAL_MS = 500;
const SIGNAL_MS = 30_000;

export interface ImpatientFleet {
  readonly fleet: Fleet;
  /** The rest of an app over the same data folder; its own fleet starts nothing. */
  readonly app: App;
}

/** A fleet over bubblewrap whose removals soon fail. */
export async function openImpatientFleet(
  options: Partial<BubblewrapOptions> = {},
  changes: Partial<Config> = {},
): Promise<ImpatientFleet> {
  const app = await openTestApp({ driver: "bubblewrap", ...changes });
  const { config } = app;
  const driver = new BubblewrapDriver({ home: config.home, removalMs: REMOVAL_MS, ...options });
  return { app, fleet: new Fleet(config, driver, testEnv()) };
}

export function leaseFile(fleet: Fleet, changes: Partial<LeaseRequest> = {}): Promise<Lease> {
  return fleet.lease({
    nodeType: "file",
    limits: DEFAULT_LIMITS,
    network: "none",
    env: {},
    bare: true,
    signal: AbortSignal.timeout(SIGNAL_MS),
    onProgress: () => undefined,
    ...changes,
  });
}

/**
 * Sweeps until a debt of the fleet is paid. What hindered it is over, but a kernel may take longer to let go than one
 * removal is tried.
 */
export async function sweepAway(fleet: Fleet, id: string): Promise<void> {
  const end = performance.now() + SIGNAL_MS;
  while (!(await fleet.reap()).reaped.includes(id))
    if (performance.now() > end) throw new Error(`no sweep has removed ${id}`);
}

/**
 * Keeps the loop device of a sandbox's workspace from being freed, as a process does that looks at all disks. Undefined
 * while there is none.
 */
export function holdDevice(id: string): Disposable | undefined {
  const device = readdirSync("/sys/block").find((name) => readBackingFile(name).includes(id));
  if (device === undefined) return undefined;
  const fd = openSync(`/dev/${device}`, "r");
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  return { [Symbol.dispose]: close };
}

function readBackingFile(device: string): string {
  try {
    return readFileSync(`/sys/block/${device}/loop/backing_file`, "utf8");
  } catch {
    return "";
  }
}
