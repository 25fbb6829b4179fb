import { randomUUID } from "node:crypto";
import { PaddockError } from "../errors/error.ts";
import type { TokenRow } from "../model/principal.ts";
import { HOUR_MS } from "../model/units.ts";
import type { AccessStore } from "../store/state-store/access.ts";
import type { IssuedToken, TokenRequest } from "./access.ts";
import { hashToken, makeToken } from "./tokens.ts";

export interface AccessParts {
  readonly store: AccessStore;
  readonly tokenTtlHours: number;
  /** No token lives longer, whoever asks. */
  readonly maxTokenTtlHours: number;
  readonly now: () => number;
}

/** The operator who may do everything. There is one, and it cannot be removed. */
export const ADMIN = "admin";

export async function issueToken(parts: AccessParts, request: TokenRequest, by: string): Promise<IssuedToken> {
  const { principal, type, ttlHours = parts.tokenTtlHours } = request;
  const isAdmin = type === "Admin" && principal === ADMIN;
  const scope = request.scope ?? (isAdmin && request.agents === undefined ? "admin" : "write");
  if ((scope === "admin" || scope === "metrics") && request.agents !== undefined)
    throw new PaddockError("invalid_request", `a token of scope ${scope} cannot be limited to agents`);
  const token = makeToken();
  const createdAt = parts.now();
  const row: TokenRow = {
    id: randomUUID(),
    hash: hashToken(token),
    principal,
    type,
    scope,
    agents: request.agents?.map((name) => name.toLowerCase()) ?? null,
    createdBy: by,
    createdAt,
    expiresAt: createdAt + Math.max(1, Math.round(Math.min(ttlHours, parts.maxTokenTtlHours) * HOUR_MS)),
    revokedAt: null,
  };
  await parts.store.insertToken(row);
  return { token, row };
}
