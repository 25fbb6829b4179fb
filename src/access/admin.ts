import type { IssuedToken } from "./access.ts";
import { type AccessParts, ADMIN, issueToken } from "./issue.ts";
import { hashPassword, verifyPassword } from "./passwords.ts";

/** The operator admin exists, is active and not blocked: whoever starts the server must be able to get in. */
export async function ensureAdmin(
  parts: AccessParts,
  { password, renew }: { readonly password: string | undefined; readonly renew: boolean },
): Promise<IssuedToken | undefined> {
  const { store } = parts;
  const now = parts.now();
  await store.insertOperator({
    name: ADMIN,
    passwordHash: null,
    description: null,
    active: true,
    createdAt: now,
    updatedAt: now,
    lastLoginAt: null,
  });
  if (password !== undefined) await setPassword(parts, password);
  const living = await store.listTokens(ADMIN);
  if (!renew && living.some(({ type, scope }) => type === "Admin" && scope === "admin")) return undefined;
  await store.updateOperator(ADMIN, { active: true, updatedAt: now });
  await store.unblock(ADMIN, "Admin");
  return await issueToken(parts, { principal: ADMIN, type: "Admin", scope: "admin" }, ADMIN);
}

async function setPassword({ store, now }: AccessParts, password: string): Promise<void> {
  const operator = await store.findOperator(ADMIN);
  if (await verifyPassword(password, operator?.passwordHash)) return;
  await store.updateOperator(ADMIN, { passwordHash: await hashPassword(password), updatedAt: now() });
}
