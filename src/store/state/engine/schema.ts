import { randomUUID } from "node:crypto";
import { type Kysely, sql } from "kysely";
import { PaddockError } from "../../../errors/error.ts";
import type { StateDialect } from "./dialect.ts";
import type { Tables } from "./tables.ts";

/** One entry is one version of the tables. An entry that was released never changes; a new one follows it. */
const MIGRATIONS: readonly ((serialKey: string) => readonly string[])[] = [
  (serialKey) => [
    `create table nodes (id text not null primary key, reign bigint not null, url text)`,
    `create table agents (
      seq ${serialKey},
      id text not null unique,
      name text not null,
      name_key text not null unique,
      search_text text not null,
      created_by text not null,
      state text not null check (state in ('init', 'idle', 'busy', 'slept')),
      description text,
      parent_id text references agents (id) on delete set null,
      parent_name text,
      metadata_json text not null,
      tags_json text not null,
      created_at bigint not null,
      last_activity_at bigint,
      idle_timeout_seconds bigint not null,
      busy_timeout_seconds bigint not null,
      idle_from bigint,
      busy_from bigint,
      context_cutoff_at bigint,
      last_context_length bigint not null,
      woke_at bigint,
      runtime_ms bigint not null,
      published_at bigint,
      published_by text,
      published_revision text,
      publish_permissions_json text not null,
      settings_json text not null,
      setup_report_json text,
      volume_id text not null,
      node_id text not null,
      version bigint not null
    )`,
    `create index agents_by_creation on agents (created_at, seq)`,
    `create index agents_by_creator on agents (created_by, created_at, seq)`,
    `create index agents_by_node on agents (node_id)`,
    `create index agents_by_parent on agents (parent_id) where parent_id is not null`,
    `create index agents_by_publication on agents (published_at, seq) where published_at is not null`,
    `create table responses (
      seq ${serialKey},
      id text not null unique,
      task_id text not null,
      agent_id text not null references agents (id) on delete cascade,
      agent_name text not null,
      status text not null check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
      created_by text not null,
      input_json text not null,
      options_json text not null,
      created_at bigint not null,
      updated_at bigint not null,
      started_at bigint,
      finished_at bigint,
      attempts bigint not null,
      error_json text,
      output_json text,
      version bigint not null,
      segment_count bigint not null,
      bytes bigint not null,
      claim_node text,
      claim_reign bigint,
      check ((finished_at is null) = (status in ('pending', 'processing'))),
      check ((claim_node is not null) = (status = 'processing')),
      check ((claim_reign is not null) = (status = 'processing'))
    )`,
    `create index responses_by_agent on responses (agent_id, seq)`,
    `create index open_responses_by_agent on responses (agent_id, seq) where finished_at is null`,
    `create index open_responses_by_creator on responses (created_by, status) where finished_at is null`,
    `create index ended_responses on responses (seq, finished_at, bytes) where finished_at is not null`,
    `create table segments (
      response_id text not null references responses (id) on delete cascade,
      number bigint not null,
      segment_json text not null,
      primary key (response_id, number)
    )`,
    `create table published_files (
      agent_id text not null references agents (id) on delete cascade,
      path_key text not null,
      path text not null,
      artifact_key text not null,
      bytes bigint not null,
      sha256 text not null,
      revision text not null,
      primary key (agent_id, path_key)
    )`,
    `create index published_files_by_artifact on published_files (artifact_key)`,
    `create table idempotency_keys (
      principal text not null,
      key text not null,
      hash text not null,
      target text not null,
      created_at bigint not null,
      primary key (principal, key)
    )`,
    `create index idempotency_keys_by_age on idempotency_keys (created_at)`,
    `create table tokens (
      id text not null primary key,
      hash text not null unique,
      principal text not null,
      type text not null,
      scope text not null,
      agents_json text,
      created_by text not null,
      created_at bigint not null,
      expires_at bigint,
      revoked_at bigint
    )`,
    `create index tokens_by_creation on tokens (created_at)`,
    `create table operators (
      name text not null primary key,
      name_key text not null unique,
      password_hash text,
      description text,
      active bigint not null,
      created_at bigint not null,
      updated_at bigint not null,
      last_login_at bigint
    )`,
    `create table blocks (
      principal text not null,
      type text not null,
      created_at bigint not null,
      primary key (principal, type)
    )`,
  ],
  () => [
    `create table database_identity (id text not null primary key)`,
    `insert into database_identity (id) values ('db_${randomUUID()}')`,
  ],
  () => [`alter table agents add column workspace_bytes bigint not null default 1073741824`],
  () => [`alter table agents add column missing_copy_json text`],
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
