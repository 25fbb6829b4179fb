import { channel } from "node:diagnostics_channel";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "../config/home.ts";
import type { Driver, ProbeFinding, ReapReport } from "../drivers/driver.ts";
import { isAlive, type ProcessIdentity } from "../lib/process-identity.ts";
import { removeFolder } from "../lib/remove-folder.ts";
import { MAKER_MARK, readDraft } from "./create.ts";

/** A run folder that names no maker is left alone this long. */
const RUN_GRACE_MS = 60_000;
export const SWEEP_MS = 60_000;

/** What subscribers of `paddock:sweep` get after each sweep of the interval. */
export type SweepEvent =
  | { readonly report: ReapReport; readonly error?: undefined }
  | { readonly error: Error; readonly report?: undefined };

const sweeps = channel("paddock:sweep");

/** Removes what dead owners left, once at the start and then in an interval. Sweeps never overlap. */
export class Sweeper implements Disposable {
  readonly #driver: Driver;
  readonly #home: Home;
  readonly #everyMs: number;
  readonly #owed = new Map<string, () => Promise<void>>();
  #running: Promise<ReapReport> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(driver: Driver, home: Home, everyMs: number) {
    this.#driver = driver;
    this.#home = home;
    this.#everyMs = everyMs;
  }

  /** The interval keeps no process alive. What a sweep throws goes to subscribers; the next one tries again. */
  start(): void {
    this.#timer ??= setInterval(() => {
      if (this.#running === undefined) void this.#announceSweep();
    }, this.#everyMs).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Removing this sandbox of our own has failed; each sweep tries again. */
  owe(id: string, remove: () => Promise<void>): void {
    this.#owed.set(id, remove);
  }

  /** One sweep; callers that come while it runs get its report. */
  async sweep(): Promise<ReapReport> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined;
    });
    return await this.#running;
  }

  async #announceSweep(): Promise<void> {
    const event = await this.sweep().then(
      (report): SweepEvent => ({ report }),
      (error: unknown): SweepEvent => ({ error: error instanceof Error ? error : new Error(String(error)) }),
    );
    sweeps.publish(event);
  }

  async #sweep(): Promise<ReapReport> {
    const owed = await this.#removeOwed();
    const { reaped, failed } = await this.#driver.reap();
    return {
      reaped: [...owed.reaped, ...reaped],
      failed: [...owed.failed, ...failed, ...(await removeUnownedRuns(this.#home))],
    };
  }

  async #removeOwed(): Promise<ReapReport> {
    const reaped: string[] = [];
    const failed: { id: string; detail: string }[] = [];
    for (const [id, remove] of this.#owed) {
      try {
        await remove();
        this.#owed.delete(id);
        reaped.push(id);
      } catch (error) {
        failed.push({ id, detail: error instanceof Error ? error.message : String(error) });
      }
    }
    return { reaped, failed };
  }
}

/** What `doctor` says of a sweep. */
export function describeSweep({ reaped, failed }: ReapReport): ProbeFinding {
  const name = "sweep";
  if (failed.length === 0) {
    const detail = reaped.length === 0 ? "dead owners left nothing" : `removed what ${reaped.length} dead owners left`;
    return { name, status: "ok", detail };
  }
  return {
    name,
    status: "warning",
    detail: failed.map(({ id, detail }) => `${id} could not be removed: ${detail}`).join("; "),
    hint: "Each start and every minute tries again. Where the engine of a sandbox is gone for good, remove its file in owners/ of the data folder (docs/ownership.md).",
  };
}

/** Run folders that no owner record and no living maker claims. What is being made has either. */
async function removeUnownedRuns({ run, owners }: Home): Promise<ReapReport["failed"]> {
  const failed: { id: string; detail: string }[] = [];
  for (const id of existsSync(run) ? readdirSync(run) : []) {
    const path = join(run, id);
    try {
      if (hasLostItsMaker(id, path) && !existsSync(join(owners, id))) await removeFolder(path);
    } catch (error) {
      failed.push({ id, detail: error instanceof Error ? error.message : String(error) });
    }
  }
  return failed;
}

function hasLostItsMaker(name: string, path: string): boolean {
  const maker = readDraft(name);
  if (maker !== undefined) return !isAlive(maker);
  try {
    return !isAlive(JSON.parse(readFileSync(join(path, MAKER_MARK), "utf8")) as ProcessIdentity);
  } catch {
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    return age > RUN_GRACE_MS;
  }
}
