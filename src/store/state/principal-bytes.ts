import { sql } from "kysely";
import { PaddockError } from "../../errors/error.ts";
import type { Database } from "./engine/context.ts";

/**
 * A row with what it takes besides its texts: numbers, ids, entries of indexes. Measured in the embedded database,
 * rounded up.
 */
export const RESPONSE_BYTES = 640;
export const SEGMENT_BYTES = 128;
export const KEY_BYTES = 512;

/** Sums are counted again so often; in between what is added is added here. */
const FRESH_MS = 60_000;
/** Nothing is removed or refused by an older sum: agents may have been deleted since. */
const EXACT_MS = 1000;
const MAX_PRINCIPALS = 10_000;
const ROUND = 200;
const MAX_EXTRA_ROUNDS = 2;
/** Room is made for more than the one row that asks for it. */
const KEPT_SHARE = 0.9;

/**
 * Holds each principal to its bytes: the oldest ended responses that it posted go for its new ones. What PUT adds to a
 * response is the agent's owner's, so that nobody fills another's share. One per store. Several servers over one
 * database each see what the others have added within a minute.
 */
export class PrincipalBytes {
  readonly #sums = new Map<string, { bytes: number; readonly countedAt: number }>();

  /** In the transaction that adds so many. Throws `quota_reached` when what waits and runs leaves no room. */
  async makeRoom(transaction: Database, principal: string, added: number, most: number): Promise<void> {
    const known = this.#sums.get(principal);
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : performance.now() - known.countedAt;
    if (known !== undefined && ageMs < FRESH_MS && known.bytes + added <= most) {
      known.bytes += added;
      return;
    }
    const exact = ageMs < EXACT_MS ? known : undefined;
    let bytes = exact?.bytes ?? (await countBytes(transaction, principal));
    const surplus = bytes + added - most;
    if (surplus > 0) bytes -= await removeOldest(transaction, principal, surplus, most * (1 - KEPT_SHARE));
    this.#remember(principal, bytes + added, exact?.countedAt ?? performance.now());
    if (bytes + added <= most) return;
    this.#sums.delete(principal);
    throw new PaddockError(
      "quota_reached",
      `${principal} has ${bytes} of ${most} bytes in the database, and what has ended leaves no room`,
      { hint: "Wait until tasks have ended, or cancel some; what has ended makes room by itself." },
    );
  }

  #remember(principal: string, bytes: number, countedAt: number): void {
    if (this.#sums.size >= MAX_PRINCIPALS) this.#sums.clear();
    this.#sums.set(principal, { bytes, countedAt });
  }
}

async function countBytes(transaction: Database, principal: string): Promise<number> {
  const sum = transaction
    .selectFrom("responses")
    .select(sql<number | string | null>`sum(bytes - amended_bytes)`.as("bytes"))
    .where("created_by", "=", principal);
  const amended = transaction
    .selectFrom("responses")
    .innerJoin("agents", "agents.id", "responses.agent_id")
    .select(sql<number | string | null>`sum(amended_bytes)`.as("bytes"))
    .where("amended_bytes", ">", 0)
    .where("agents.created_by", "=", principal);
  const keys = transaction
    .selectFrom("idempotency_keys")
    .select((fields) => fields.fn.countAll<number>().as("count"))
    .where("principal", "=", principal);
  // Apart, for each has an index of its own.
  const found = await transaction
    .selectNoFrom([
      sum.where("finished_at", "is not", null).as("ended"),
      sum.where("finished_at", "is", null).as("open"),
      amended.as("amended"),
      keys.as("keys"),
    ])
    .executeTakeFirstOrThrow();
  const rows = [found.ended, found.open, found.amended].reduce<number>((bytes, part) => bytes + Number(part ?? 0), 0);
  return rows + Number(found.keys ?? 0) * KEY_BYTES;
}

/**
 * Removes what is needed, and a bounded part of what more is wanted: nothing else happens meanwhile. Returns how many
 * bytes went.
 */
async function removeOldest(
  transaction: Database,
  principal: string,
  needed: number,
  moreWanted: number,
): Promise<number> {
  let removed = 0;
  for (let round = 0; ; round++) {
    const enough = round < MAX_EXTRA_ROUNDS ? needed + moreWanted : needed;
    const rows = await transaction
      .selectFrom("responses")
      .select(["seq", "bytes"])
      .where("created_by", "=", principal)
      .where("finished_at", "is not", null)
      .orderBy("seq")
      .limit(ROUND)
      .execute();
    const seqs: number[] = [];
    for (const row of rows) {
      if (removed >= enough) break;
      removed += row.bytes;
      seqs.push(row.seq);
    }
    if (seqs.length === 0) return removed;
    await transaction.deleteFrom("responses").where("seq", "in", seqs).execute();
  }
}
