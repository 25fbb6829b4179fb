import type { ServiceConfig } from "../config/service.ts";
import { PaddockError } from "../errors/error.ts";
import type { AccessStore } from "../store/state-store/access.ts";
import type { Access } from "./access.ts";
import { ensureAdmin } from "./admin.ts";
import { authenticate } from "./authenticate.ts";
import { issueToken } from "./issue.ts";
import { hashPassword, verifyPassword } from "./passwords.ts";

/**
 * Tokens are looked up at each request (a few microseconds in the embedded database), so a revoked token, a block or an
 * operator made inactive counts from the next request on, whichever process did it.
 */
export function openAccess(
  store: AccessStore,
  { tokenTtlHours, maxTokenTtlHours }: Pick<ServiceConfig, "tokenTtlHours" | "maxTokenTtlHours">,
  now: () => number = Date.now,
): Access {
  const parts = { store, tokenTtlHours, maxTokenTtlHours, now };
  return {
    authenticate: async (authorization) => await authenticate(parts, authorization),
    login: async (name, password, ttlHours) => {
      const operator = await store.findOperator(name);
      const isRight = await verifyPassword(password, operator?.active ? operator.passwordHash : undefined);
      if (operator === undefined || !isRight) throw new PaddockError("unauthorized", "Unauthorized");
      if (await store.isBlocked(operator.name, "Admin")) throw new PaddockError("forbidden", "Principal is blocked");
      await store.updateOperator(operator.name, { lastLoginAt: now() });
      const request = {
        principal: operator.name,
        type: "Admin",
        ...(ttlHours === undefined ? {} : { ttlHours }),
      } as const;
      return await issueToken(parts, request, operator.name);
    },
    issue: async (request, by) => await issueToken(parts, request, by.name),
    revoke: async (id) => await store.revokeToken(id, now()),
    ensureAdmin: async (options) => await ensureAdmin(parts, options),
    hashPassword,
  };
}
