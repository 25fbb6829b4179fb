import { statfs } from "node:fs/promises";
import type { Readiness } from "../api/http/server-services.ts";
import type { App } from "../app.ts";
import { toPaddockError } from "../errors/error.ts";
import type { UpkeepStore } from "../store/state-store/upkeep.ts";

type Check = Readiness["details"][string];

/** Below this a task can no longer be expected to find room for its workspace and records. */
const SMALLEST_FREE_BYTES = 256 * 1024 * 1024;
const SMALLEST_FREE_FILES = 1024;
/** The database answers within this. */
const STORE_MS = 2000;
const FRESH_MS = 1000;
/** The driver probes by using what it probes. */
const DRIVER_FRESH_MS = 60_000;

/** Whoever asks often gets the answer of a moment ago: asking must cost nothing. */
export function makeReadiness(app: App, store: UpkeepStore, isDraining: () => boolean): () => Promise<Readiness> {
  const driver = remember(async () => await checkDriver(app), DRIVER_FRESH_MS);
  const database = remember(async () => await checkStore(store), FRESH_MS);
  const disk = remember(async () => await checkDisk(app.config.home.root), FRESH_MS);
  return async () => {
    const server: Check = isDraining() ? { ok: false, detail: "draining" } : { ok: true };
    const details = { server, driver: await driver(), store: await database(), disk: await disk() };
    return { isReady: Object.values(details).every(({ ok }) => ok), details };
  };
}

function remember(check: () => Promise<Check>, freshMs: number): () => Promise<Check> {
  let last: { readonly at: number; readonly answer: Promise<Check> } | undefined;
  return async () => {
    if (last === undefined || performance.now() - last.at > freshMs)
      last = {
        at: performance.now(),
        answer: check().catch((error: unknown) => ({ ok: false, detail: toPaddockError(error).code })),
      };
    return await last.answer;
  };
}

async function checkDriver({ driver, fleet }: App): Promise<Check> {
  const failed = (await fleet.probeDriver()).filter(({ status }) => status === "failed").map(({ name }) => name);
  return failed.length === 0
    ? { ok: true, detail: driver.name }
    : { ok: false, detail: `${driver.name}: ${failed.join(", ")}` };
}

async function checkStore(store: UpkeepStore): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Check>((resolve) => {
    timer = setTimeout(() => resolve({ ok: false, detail: `${store.kind}: no answer` }), STORE_MS);
  });
  try {
    return await Promise.race([store.check().then(() => ({ ok: true, detail: store.kind })), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function checkDisk(folder: string): Promise<Check> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  const bytes = bavail * bsize;
  const hasFiles = files === 0 || ffree >= SMALLEST_FREE_FILES;
  return { ok: bytes >= SMALLEST_FREE_BYTES && hasFiles, detail: `${Math.floor(bytes / 1024 / 1024)} MiB free` };
}
