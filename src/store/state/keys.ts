import { PaddockError } from "../../errors/error.ts";
import { DAY_MS } from "../../model/units.ts";
import type { IdempotencyKey } from "../state-store/responses.ts";
import type { Database } from "./engine/context.ts";

export const KEY_LIFE_MS = DAY_MS;

/**
 * Takes a key for `target`, or says what was made under it before. A request with the same key waits here until the
 * first one has committed. Throws `idempotency_conflict` for a key of another request.
 */
export async function takeKey(
  transaction: Database,
  key: IdempotencyKey | undefined,
  target: string,
  now: number,
): Promise<string | undefined> {
  if (key === undefined) return undefined;
  const fresh = { hash: key.hash, target, created_at: now };
  const taken = await transaction
    .insertInto("idempotency_keys")
    .values({ principal: key.principal, key: key.key, ...fresh })
    .onConflict((conflict) =>
      conflict
        .columns(["principal", "key"])
        .doUpdateSet(fresh)
        .where("idempotency_keys.created_at", "<=", now - KEY_LIFE_MS),
    )
    .returning("target")
    .executeTakeFirst();
  if (taken !== undefined) return undefined;
  const first = await transaction
    .selectFrom("idempotency_keys")
    .select(["hash", "target"])
    .where("principal", "=", key.principal)
    .where("key", "=", key.key)
    .executeTakeFirstOrThrow();
  if (first.hash === key.hash) return first.target;
  throw new PaddockError("idempotency_conflict", "this idempotency key was used for another request");
}

/** A request is carried out once at most, also when its result was deleted since. */
export const makeGoneError = (): PaddockError =>
  new PaddockError("idempotency_conflict", "this request was carried out before, and what it made is gone", {
    hint: "Use a new key to make it again.",
  });
