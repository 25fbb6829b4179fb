import { PaddockError } from "../errors/error.ts";
import type { Principal, TokenRow } from "../model/principal.ts";
import type { AccessParts } from "./issue.ts";
import { hashToken, isSameHash, readBearer } from "./tokens.ts";

/** One sentence for every reason: a caller learns nothing about which tokens or operators exist. */
const refuse = (): PaddockError => new PaddockError("unauthorized", "Unauthorized");

export async function authenticate(parts: AccessParts, authorization: string | undefined): Promise<Principal> {
  const token = readBearer(authorization);
  if (token === undefined) throw refuse();
  const hash = hashToken(token);
  const row = await parts.store.findToken(hash);
  if (row === undefined || !isSameHash(row.hash, hash) || !isLiving(row, parts.now())) throw refuse();
  const operator = await parts.store.findOperator(row.principal);
  // Agents belong to names, so an operator's name speaks for the operator alone.
  if (row.type === "Admin" ? operator?.active !== true : operator !== undefined) throw refuse();
  if (await parts.store.isBlocked(row.principal, row.type)) throw new PaddockError("forbidden", "Principal is blocked");
  return { name: row.principal, type: row.type, scope: row.scope, agents: row.agents ?? undefined };
}

const isLiving = ({ revokedAt, expiresAt }: TokenRow, now: number): boolean =>
  revokedAt === null && (expiresAt === null || expiresAt > now);
