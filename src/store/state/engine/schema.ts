import { type Kysely, sql } from "kysely";
import { PaddockError } from "../../../errors/error.ts";
import type { StateDialect } from "./dialect.ts";
import { makeTables } from "./migrations/v1-tables.ts";
import { identifyDatabase } from "./migrations/v2-database-identity.ts";
import { addWorkspaceBytes } from "./migrations/v3-workspace-bytes.ts";
import { addMissingCopy } from "./migrations/v4-missing-copy.ts";
import { countWholeRows } from "./migrations/v5-row-bytes.ts";
import type { Tables } from "./tables.ts";

/** One entry is one version of the tables. An entry that was released never changes; a new one follows it. */
const MIGRATIONS: readonly ((serialKey: string) => readonly string[])[] = [
  makeTables,
  identifyDatabase,
  addWorkspaceBytes,
  addMissingCopy,
  countWholeRows,
];

/** Runs inside a transaction that nobody else is in. Throws `state_failed` for tables of a newer version. */
export async function migrate(transaction: Kysely<Tables>, dialect: StateDialect): Promise<void> {
  await dialect.lockName(transaction, "paddock schema");
  await sql`create table if not exists paddock_schema (version bigint not null primary key)`.execute(transaction);
  const found = await sql<{ version: number | null }>`select max(version) as version from paddock_schema`.execute(
    transaction,
  );
  const version = found.rows[0]?.version ?? 0;
  if (version > MIGRATIONS.length)
    throw new PaddockError(
      "state_failed",
      `the database has version ${version}; this Paddock knows versions up to ${MIGRATIONS.length}`,
      { hint: "Run the Paddock that wrote it, or a newer one." },
    );
  for (const [index, statements] of MIGRATIONS.entries()) {
    if (index < version) continue;
    for (const statement of statements(dialect.serialKey)) await sql.raw(statement).execute(transaction);
    await sql`insert into paddock_schema (version) values (${index + 1})`.execute(transaction);
  }
}
