import { createHash } from "node:crypto";
import { PaddockError } from "../../../errors/error.ts";
import type { Principal } from "../../../model/principal.ts";
import type { IdempotencyKey } from "../../../store/state-store/responses.ts";

interface Asked {
  readonly principal: Principal;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** `what`: everything that makes two requests the same. Throws `invalid_request` for a key that is none. */
export function readIdempotencyKey(
  { principal, headers }: Asked,
  what: readonly unknown[],
): IdempotencyKey | undefined {
  const key = headers["idempotency-key"];
  if (key === undefined) return undefined;
  if (typeof key !== "string" || !/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/.test(key))
    throw new PaddockError("invalid_request", "Idempotency-Key has to be 1 to 255 printable characters");
  return { principal: principal.name, key, hash: createHash("sha256").update(JSON.stringify(what)).digest("hex") };
}
