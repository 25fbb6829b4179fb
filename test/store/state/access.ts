import { describe, expect, test } from "vitest";
import type { OperatorRow, TokenRow } from "../../../src/model/principal.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { makeName } from "./samples.ts";

const makeToken = (facts: Partial<TokenRow> = {}): TokenRow => ({
  id: makeName(),
  hash: makeName(),
  principal: "ann",
  type: "User",
  scope: "write",
  agents: null,
  createdBy: "admin",
  createdAt: 1,
  expiresAt: null,
  revokedAt: null,
  ...facts,
});

const makeOperator = (facts: Partial<OperatorRow> = {}): OperatorRow => ({
  name: makeName(),
  passwordHash: "scrypt$x",
  description: null,
  active: true,
  createdAt: 1,
  updatedAt: 1,
  lastLoginAt: null,
  ...facts,
});

export function testAccess(open: () => StateStore): void {
  describe("state - tokens", () => {
    test("a token is found by its hash, whatever has become of it", async () => {
      const store = open();
      const token = makeToken({ agents: ["one", "two"], expiresAt: Date.now() + 60_000 });
      await store.insertToken(token);
      expect(await store.findToken(token.hash)).toEqual(token);
      expect(await store.revokeToken(token.id, 5)).toBe(true);
      expect(await store.revokeToken(token.id, 6)).toBe(false);
      expect(await store.findToken(token.hash)).toEqual({ ...token, revokedAt: 5 });
      expect(await store.findToken(makeName())).toBeUndefined();
    });

    test("living tokens are listed, newest first", async () => {
      const store = open();
      const principal = makeName();
      const old = makeToken({ principal, createdAt: 1 });
      const fresh = makeToken({ principal, createdAt: 2, expiresAt: Date.now() + 60_000 });
      const expired = makeToken({ principal, createdAt: 3, expiresAt: 4 });
      for (const token of [old, fresh, expired, makeToken()]) await store.insertToken(token);
      expect(await store.listTokens(principal)).toEqual([fresh, old]);
      expect((await store.listTokens()).map((token) => token.id)).toEqual(expect.arrayContaining([old.id, fresh.id]));
      expect(await store.revokeToken(expired.id, 5)).toBe(false);
    });

    test("an id or a hash is used once", async () => {
      const token = makeToken();
      await open().insertToken(token);
      const twin = { ...makeToken(), hash: token.hash };
      await expect(open().insertToken(twin)).rejects.toMatchObject({ code: "state_failed" });
    });
  });

  describe("state - operators and blocks", () => {
    test("an operator is kept, changed and removed", async () => {
      const store = open();
      const operator = makeOperator({ description: "on call", active: false });
      expect(await store.insertOperator(operator)).toBe(true);
      expect(await store.insertOperator({ ...operator, name: operator.name.toUpperCase() })).toBe(false);
      expect(await store.findOperator(operator.name)).toEqual(operator);
      expect(await store.findOperator(operator.name.toUpperCase())).toBeUndefined();
      const patch = { passwordHash: null, active: true, lastLoginAt: 7, updatedAt: 8 };
      expect(await store.updateOperator(operator.name, patch)).toEqual({ ...operator, ...patch });
      expect(await store.updateOperator(operator.name, {})).toEqual({ ...operator, ...patch });
      expect((await store.listOperators()).map((found) => found.name)).toContain(operator.name);
      expect(await store.deleteOperator(operator.name)).toBe(true);
      expect(await store.deleteOperator(operator.name)).toBe(false);
      expect(await store.updateOperator(operator.name, patch)).toBeUndefined();
    });

    test("an operator who gets the name of a removed one inherits none of its tokens", async () => {
      const store = open();
      const operator = makeOperator();
      await store.insertOperator(operator);
      const old = makeToken({ principal: operator.name, type: "Admin" });
      const user = makeToken({ principal: operator.name, type: "User" });
      for (const token of [old, user]) await store.insertToken(token);
      await store.deleteOperator(operator.name);
      await store.insertOperator(operator);
      expect((await store.findToken(old.hash))?.revokedAt).toEqual(expect.any(Number));
      expect((await store.findToken(user.hash))?.revokedAt).toBeNull();
    });

    test("a block is of one principal and one type", async () => {
      const store = open();
      const principal = makeName();
      expect(await store.block(principal, "User", 3)).toBe(true);
      expect(await store.block(principal, "User", 4)).toBe(false);
      expect(await store.isBlocked(principal, "User")).toBe(true);
      expect(await store.isBlocked(principal, "Admin")).toBe(false);
      expect(await store.listBlocks()).toContainEqual({ principal, type: "User", createdAt: 3 });
      expect(await store.unblock(principal, "User")).toBe(true);
      expect(await store.unblock(principal, "User")).toBe(false);
    });
  });
}
