import { type Kysely, sql } from "kysely";
import { DAY_MS } from "../../model/units.ts";
import type { UpkeepStore } from "../state-store/upkeep.ts";
import type { StateContext } from "./engine/context.ts";
import type { Tables } from "./engine/tables.ts";
import { KEY_LIFE_MS } from "./keys.ts";

const DEAD_TOKEN_MS = 7 * DAY_MS;
/** Other writers wait while one round runs. */
const ROUND = 200;

export const makePrune = (state: StateContext): Pick<UpkeepStore, "prune"> => ({
  prune: async (maxAgeMs, maxBytes) => {
    const oldest = state.now() - maxAgeMs;
    const tooOld = await removeInRounds(state, async (transaction) => {
      const rows = await selectEnded(transaction).where("finished_at", "<", oldest).execute();
      return rows.map((row) => row.seq);
    });
    const tooMany = await removeInRounds(state, async (transaction) => {
      let surplus = (await sumBytes(transaction)) - maxBytes;
      if (surplus <= 0) return [];
      const seqs: number[] = [];
      for (const row of await selectEnded(transaction).execute()) {
        if (surplus <= 0) break;
        surplus -= row.bytes;
        seqs.push(row.seq);
      }
      return seqs;
    });
    await forgetKeysAndTokens(state);
    // On the connection's own turn: no transaction is in the middle.
    while (await state.ask(async (db) => await db.connection().execute(async () => state.dialect.shrink())));
    return tooOld + tooMany;
  },
});

const selectEnded = (db: Kysely<Tables>) =>
  db.selectFrom("responses").select(["seq", "bytes"]).where("finished_at", "is not", null).orderBy("seq").limit(ROUND);

async function sumBytes(db: Kysely<Tables>): Promise<number> {
  const { total } = await db
    .selectFrom("responses")
    .select(sql<number>`cast(coalesce(sum(bytes), 0) as bigint)`.as("total"))
    .executeTakeFirstOrThrow();
  return total;
}

/** Ended responses never change, so what was chosen may go. */
async function removeInRounds(
  state: StateContext,
  choose: (transaction: Kysely<Tables>) => Promise<readonly number[]>,
): Promise<number> {
  for (let removed = 0; ; ) {
    const count = await state.transact(async (transaction) => {
      const seqs = await choose(transaction);
      if (seqs.length > 0)
        await transaction
          .deleteFrom("responses")
          .where("seq", "in", [...seqs])
          .execute();
      return seqs.length;
    });
    if (count === 0) return removed;
    removed += count;
  }
}

async function forgetKeysAndTokens(state: StateContext): Promise<void> {
  await state.transact(async (transaction) => {
    const now = state.now();
    await transaction
      .deleteFrom("idempotency_keys")
      .where("created_at", "<=", now - KEY_LIFE_MS)
      .execute();
    await transaction
      .deleteFrom("tokens")
      .where((fields) =>
        fields.or([fields("expires_at", "<", now - DEAD_TOKEN_MS), fields("revoked_at", "<", now - DEAD_TOKEN_MS)]),
      )
      .execute();
  });
}
