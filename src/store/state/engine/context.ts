import { setTimeout as sleep } from "node:timers/promises";
import { Kysely } from "kysely";
import { PaddockError } from "../../../errors/error.ts";
import { backoffMs } from "../../../lib/backoff.ts";
import type { StateDialect } from "./dialect.ts";
import { Turns } from "./event-loop-turns.ts";
import type { Tables } from "./tables.ts";

/** How long a write waits for other writers. */
const WAIT_MS = 10_000;
const PAUSE = { baseMs: 1, capMs: 16 };

export type Database = Kysely<Tables>;

/** What every part of the store works with. */
export interface StateContext {
  readonly dialect: StateDialect;
  now(): number;
  /** One statement, which is a transaction of its own. */
  ask<T>(work: (db: Database) => Promise<T>): Promise<T>;
  /** Several statements. `work` may run more than once: it changes nothing but the database. */
  transact<T>(work: (transaction: Database) => Promise<T>): Promise<T>;
  /** Waits for what was asked before; refuses what comes after. */
  close(): Promise<void>;
}

export function makeContext(dialect: StateDialect, now: () => number): StateContext {
  const db = new Kysely<Tables>({ dialect: dialect.connection });
  const running = new Set<Promise<unknown>>();
  const turns = new Turns();
  let closing: Promise<void> | undefined;
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    if (closing !== undefined) throw new PaddockError("state_failed", "the state store is closed");
    const run = retry(dialect, dialect.kind === "sqlite" ? async () => await turns.run(work) : work);
    running.add(run);
    try {
      return await run;
    } finally {
      running.delete(run);
    }
  };
  const close = async (): Promise<void> => {
    await Promise.allSettled(running);
    await retry(dialect, async () => await db.destroy());
  };
  return {
    dialect,
    now,
    ask: async (work) => await guard(async () => await work(db)),
    transact: async (work) =>
      await guard(async () => await db.transaction().setIsolationLevel("read committed").execute(work)),
    close: async () => {
      closing ??= close();
      await closing;
    },
  };
}

/** Another writer is waited for; what else is thrown becomes one of our errors. */
async function retry<T>(dialect: StateDialect, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + WAIT_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (thrown) {
      if (!dialect.isPassing(thrown) || performance.now() > deadline) throw dialect.toError(thrown);
    }
    await sleep(backoffMs(attempt, PAUSE));
  }
}
