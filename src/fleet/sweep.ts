import { channel } from "node:diagnostics_channel";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "../config/home.ts";
import type { Driver, ProbeFinding, ReapReport } from "../drivers/driver.ts";
import { toPaddockError } from "../errors/error.ts";
import type { Owe } from "../lib/owe.ts";
import { isAlive, type ProcessIdentity } from "../lib/process-identity.ts";
import { removeFolder } from "../lib/remove-folder.ts";
import { MAKER_MARK, readDraft } from "./make/create.ts";

/** A run folder that names no maker is left alone this long. */
const RUN_GRACE_MS = 60_000;
export const SWEEP_MS = 60_000;

/**
 * What subscribers of `paddock:sweep` get after each sweep of the interval, and at once when something could not be
 * removed.
 */
export type SweepEvent = {
  /** The data folder. */
  readonly root: string;
} & (
  | { readonly report: ReapReport; readonly error?: undefined }
  | { readonly error: Error; readonly report?: undefined }
);

const sweeps = channel("paddock:sweep");

interface Debt {
  readonly id: string;
  readonly remove: () => Promise<void>;
}

const describe = (id: string, error: unknown): ReapReport["failed"][number] => ({
  id,
  detail: toPaddockError(error).message,
});

/**
 * Removes what dead owners left and what this process could not remove, once at the start and then in an interval.
 * Sweeps never overlap. Nothing else tries a removal again.
 */
export class Sweeper implements Disposable {
  readonly #driver: Driver;
  readonly #home: Home;
  readonly #everyMs: number;
  readonly #owed = new Set<Debt>();
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

  /** What this process could not remove is told at once, and each sweep tries again. */
  readonly owe: Owe = (id, remove, error) => {
    this.#owed.add({ id, remove });
    this.#publish({ report: { reaped: [], failed: [describe(id, error)] } });
  };

  /** One sweep; callers that come while it runs get its report. */
  async sweep(): Promise<ReapReport> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined;
    });
    return await this.#running;
  }

  async #announceSweep(): Promise<void> {
    await this.sweep().then(
      (report) => this.#publish({ report }),
      (error: unknown) => this.#publish({ error: toPaddockError(error) }),
    );
  }

  #publish(outcome: { readonly report: ReapReport } | { readonly error: Error }): void {
    sweeps.publish({ root: this.#home.root, ...outcome } satisfies SweepEvent);
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
    const failed: ReapReport["failed"][number][] = [];
    const tryAgain = async (debt: Debt): Promise<void> => {
      try {
        await debt.remove();
        this.#owed.delete(debt);
        reaped.push(debt.id);
      } catch (error) {
        failed.push(describe(debt.id, error));
      }
    };
    await Promise.all([...this.#owed].map(tryAgain));
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
  const failed: ReapReport["failed"][number][] = [];
  for (const id of existsSync(run) ? readdirSync(run) : []) {
    const path = join(run, id);
    try {
      if (hasLostItsMaker(id, path) && !existsSync(join(owners, id))) await removeFolder(path);
    } catch (error) {
      failed.push(describe(id, error));
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
