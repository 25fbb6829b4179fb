import { sql } from "kysely";
import type { StateStore } from "../state-store.ts";
import { makeAccessRows } from "./access.ts";
import { makeAgentRows } from "./agents.ts";
import { makeContext, type StateContext } from "./engine/context.ts";
import type { StateDialect } from "./engine/dialect.ts";
import { makePostgresDialect } from "./engine/postgres.ts";
import { migrate } from "./engine/schema.ts";
import { makeSqliteDialect } from "./engine/sqlite.ts";
import { PrincipalBytes } from "./principal-bytes.ts";
import { makePrune } from "./prune.ts";
import { makePublished } from "./publications.ts";
import { makeQueue } from "./queue.ts";
import { makeReigns } from "./reigns.ts";
import { makeResponseReads } from "./response-reads.ts";
import { makeResponseWrites } from "./responses.ts";

export interface StateOptions {
  /** For the embedded database (`home.state`); made when it is missing. */
  readonly folder: string;
  /** `postgres://...`: that database instead of an embedded one. */
  readonly databaseUrl?: string | undefined;
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly now?: () => number;
}

/** Nothing is opened before `start()`. */
export function openStateStore(options: StateOptions): StateStore {
  const dialect =
    options.databaseUrl === undefined ? makeSqliteDialect(options.folder) : makePostgresDialect(options.databaseUrl);
  const state = makeContext(dialect, options.now ?? (() => Date.now()));
  const bytes = new PrincipalBytes();
  return {
    kind: dialect.kind,
    start: async () => await start(state, dialect),
    readId: async () =>
      (await state.ask(async (db) => await db.selectFrom("database_identity").select("id").executeTakeFirstOrThrow()))
        .id,
    check: async () => {
      await state.ask(async (db) => await sql`select max(version) from paddock_schema`.execute(db));
    },
    ...makeReigns(state),
    ...makePrune(state),
    ...makeAgentRows(state),
    ...makePublished(state),
    ...makeQueue(state, bytes),
    ...makeResponseWrites(state, bytes),
    ...makeResponseReads(state),
    ...makeAccessRows(state),
    [Symbol.asyncDispose]: async () => await state.close(),
  };
}

async function start(state: StateContext, dialect: StateDialect): Promise<void> {
  await dialect.prepare().catch((thrown: unknown) => Promise.reject(dialect.toError(thrown)));
  await state.transact(async (transaction) => await migrate(transaction, dialect));
}
