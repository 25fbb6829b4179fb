import type { Insertable, Selectable, Updateable } from "kysely";
import type { OperatorRow, TokenRow } from "../../model/principal.ts";
import type { AccessStore, BlockStore, OperatorStore, TokenStore } from "../state-store/access.ts";
import { makeNameKey, writeNullableJson } from "./agent-rows.ts";
import type { Database, StateContext } from "./engine/context.ts";
import type { OperatorsTable, TokensTable } from "./engine/tables.ts";

export const makeAccessRows = (state: StateContext): AccessStore => ({
  ...makeTokens(state),
  ...makeOperators(state),
  ...makeBlocks(state),
});

const makeTokens = (state: StateContext): TokenStore => ({
  insertToken: async (token) => {
    await state.ask(async (db) => await db.insertInto("tokens").values(writeToken(token)).execute());
  },
  findToken: async (hash) =>
    await state.ask(async (db) => {
      const row = await db.selectFrom("tokens").selectAll().where("hash", "=", hash).executeTakeFirst();
      return row && readToken(row);
    }),
  listTokens: async (principal) =>
    await state.ask(async (db) => {
      let query = db.selectFrom("tokens").selectAll().where("revoked_at", "is", null);
      if (principal !== undefined) query = query.where("principal", "=", principal);
      const living = query.where((fields) =>
        fields.or([fields("expires_at", "is", null), fields("expires_at", ">", state.now())]),
      );
      return (await living.orderBy("created_at", "desc").orderBy("id").execute()).map(readToken);
    }),
  revokeToken: async (id, now) =>
    await state.ask(async (db) => {
      const row = await db
        .updateTable("tokens")
        .set({ revoked_at: now })
        .where("id", "=", id)
        .where("revoked_at", "is", null)
        .where((fields) => fields.or([fields("expires_at", "is", null), fields("expires_at", ">", now)]))
        .returning("id")
        .executeTakeFirst();
      return row !== undefined;
    }),
});

/**
 * A name is found as it is written; another one that differs in case alone is refused, so that nobody passes for
 * somebody else.
 */
const makeOperators = (state: StateContext): OperatorStore => ({
  insertOperator: async (operator) =>
    await state.ask(async (db) => {
      const row = await db
        .insertInto("operators")
        .values(writeOperator(operator))
        .onConflict((conflict) => conflict.doNothing())
        .returning("name")
        .executeTakeFirst();
      return row !== undefined;
    }),
  findOperator: async (name) => await state.ask(async (db) => await findOperator(db, name)),
  listOperators: async () =>
    await state.ask(async (db) => {
      const query = db.selectFrom("operators").selectAll().orderBy("created_at", "desc").orderBy("name");
      return (await query.execute()).map(readOperator);
    }),
  updateOperator: async (name, patch) =>
    await state.ask(async (db) => {
      const columns = writeOperatorPatch(patch);
      if (Object.keys(columns).length === 0) return await findOperator(db, name);
      const query = db.updateTable("operators").set(columns).where("name", "=", name).returningAll();
      const row = await query.executeTakeFirst();
      return row && readOperator(row);
    }),
  deleteOperator: async (name) =>
    await state.transact(async (transaction) => {
      const query = transaction.deleteFrom("operators").where("name", "=", name).returning("name");
      if ((await query.executeTakeFirst()) === undefined) return false;
      await transaction
        .updateTable("tokens")
        .set({ revoked_at: state.now() })
        .where("principal", "=", name)
        .where("type", "=", "Admin")
        .where("revoked_at", "is", null)
        .execute();
      return true;
    }),
});

const makeBlocks = (state: StateContext): BlockStore => ({
  block: async (principal, type, now) =>
    await state.ask(async (db) => {
      const row = await db
        .insertInto("blocks")
        .values({ principal, type, created_at: now })
        .onConflict((conflict) => conflict.doNothing())
        .returning("principal")
        .executeTakeFirst();
      return row !== undefined;
    }),
  unblock: async (principal, type) =>
    await state.ask(async (db) => {
      const query = db.deleteFrom("blocks").where("principal", "=", principal).where("type", "=", type);
      return (await query.returning("principal").executeTakeFirst()) !== undefined;
    }),
  isBlocked: async (principal, type) =>
    await state.ask(async (db) => {
      const query = db.selectFrom("blocks").select("type").where("principal", "=", principal).where("type", "=", type);
      return (await query.executeTakeFirst()) !== undefined;
    }),
  listBlocks: async () =>
    await state.ask(async (db) => {
      const rows = await db
        .selectFrom("blocks")
        .selectAll()
        .orderBy("created_at", "desc")
        .orderBy("principal")
        .execute();
      return rows.map((row) => ({ principal: row.principal, type: row.type, createdAt: row.created_at }));
    }),
});

async function findOperator(db: Database, name: string): Promise<OperatorRow | undefined> {
  const row = await db.selectFrom("operators").selectAll().where("name", "=", name).executeTakeFirst();
  return row && readOperator(row);
}

const writeToken = (token: TokenRow): Insertable<TokensTable> => ({
  id: token.id,
  hash: token.hash,
  principal: token.principal,
  type: token.type,
  scope: token.scope,
  agents_json: writeNullableJson(token.agents),
  created_by: token.createdBy,
  created_at: token.createdAt,
  expires_at: token.expiresAt,
  revoked_at: token.revokedAt,
});

const readToken = (row: Selectable<TokensTable>): TokenRow => ({
  id: row.id,
  hash: row.hash,
  principal: row.principal,
  type: row.type,
  scope: row.scope,
  agents: row.agents_json === null ? null : JSON.parse(row.agents_json),
  createdBy: row.created_by,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  revokedAt: row.revoked_at,
});

const writeOperator = (operator: OperatorRow): Insertable<OperatorsTable> => ({
  name: operator.name,
  name_key: makeNameKey(operator.name),
  password_hash: operator.passwordHash,
  description: operator.description,
  active: Number(operator.active),
  created_at: operator.createdAt,
  updated_at: operator.updatedAt,
  last_login_at: operator.lastLoginAt,
});

function writeOperatorPatch(patch: Parameters<OperatorStore["updateOperator"]>[1]): Updateable<OperatorsTable> {
  const columns: Updateable<OperatorsTable> = {};
  if (patch.passwordHash !== undefined) columns.password_hash = patch.passwordHash;
  if (patch.description !== undefined) columns.description = patch.description;
  if (patch.active !== undefined) columns.active = Number(patch.active);
  if (patch.lastLoginAt !== undefined) columns.last_login_at = patch.lastLoginAt;
  if (patch.updatedAt !== undefined) columns.updated_at = patch.updatedAt;
  return columns;
}

const readOperator = (row: Selectable<OperatorsTable>): OperatorRow => ({
  name: row.name,
  passwordHash: row.password_hash,
  description: row.description,
  active: row.active === 1,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  lastLoginAt: row.last_login_at,
});
