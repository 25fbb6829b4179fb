import { createHash } from "node:crypto";
import { sql } from "kysely";
import type { AgentRow } from "../../model/agent.ts";
import type { NewPublication, PublicationStore } from "../state-store/publications.ts";
import { makeNameKey, readAgent, writeJson, writePublication } from "./agent-rows.ts";
import { lockAgent } from "./agents.ts";
import type { Database, StateContext } from "./engine/context.ts";

const ROWS_PER_STATEMENT = 500;

export function makePublished(state: StateContext): PublicationStore {
  return {
    replacePublished: async (id, publication, expected) =>
      await state.transact(async (transaction) => {
        const agent = await lockAgent(transaction, state, id);
        if (agent === undefined || (expected !== undefined && agent.publicationRevision !== expected)) return undefined;
        const deletion = transaction.deleteFrom("published_files").where("agent_id", "=", id);
        const before = await deletion.returning("artifact_key").execute();
        await insertFiles(transaction, id, publication);
        const keys = before.map((row) => row.artifact_key);
        return { agent: await changeAgent(transaction, id, publication), unused: await keepUnused(transaction, keys) };
      }),
    findPublishedFile: async (agentName, path) =>
      await state.ask(async (db) => {
        const row = await db
          .selectFrom("published_files")
          .innerJoin("agents", "agents.id", "published_files.agent_id")
          .select(["path", "artifact_key", "bytes", "sha256"])
          .where("agents.name_key", "=", makeNameKey(agentName))
          .where("agents.published_at", "is not", null)
          .where("path_key", "=", hashPath(path))
          .executeTakeFirst();
        return row && { path: row.path, artifactKey: row.artifact_key, bytes: row.bytes, sha256: row.sha256 };
      }),
  };
}

const hashPath = (path: string): string => createHash("sha256").update(path).digest("hex");

async function changeAgent(
  transaction: Database,
  id: string,
  { published, revision, permissions }: NewPublication,
): Promise<AgentRow> {
  const row = await transaction
    .updateTable("agents")
    .set({
      ...writePublication(published, revision),
      publish_permissions_json: writeJson(permissions),
      version: sql<number>`version + 1`,
    })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return readAgent(row);
}

async function insertFiles(transaction: Database, id: string, { revision, files }: NewPublication): Promise<void> {
  const rows = files.map((file) => ({
    agent_id: id,
    path_key: hashPath(file.path),
    path: file.path,
    artifact_key: file.artifactKey,
    bytes: file.bytes,
    sha256: file.sha256,
    revision,
  }));
  for (let at = 0; at < rows.length; at += ROWS_PER_STATEMENT)
    await transaction
      .insertInto("published_files")
      .values(rows.slice(at, at + ROWS_PER_STATEMENT))
      .execute();
}

/** Those of the keys that no published file names. */
async function keepUnused(transaction: Database, keys: readonly string[]): Promise<readonly string[]> {
  const used = new Set<string>();
  for (let at = 0; at < keys.length; at += ROWS_PER_STATEMENT) {
    const part = keys.slice(at, at + ROWS_PER_STATEMENT);
    const rows = await transaction
      .selectFrom("published_files")
      .select("artifact_key")
      .where("artifact_key", "in", part)
      .execute();
    for (const row of rows) used.add(row.artifact_key);
  }
  return [...new Set(keys)].filter((key) => !used.has(key));
}
