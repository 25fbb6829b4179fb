import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Access } from "../../src/access/access.ts";
import { openAccess } from "../../src/access/open.ts";
import { verifyPassword } from "../../src/access/passwords.ts";
import type { Principal } from "../../src/model/principal.ts";
import { openStateStore } from "../../src/store/state/open.ts";
import type { StateStore } from "../../src/store/state-store.ts";

const HOUR_MS = 3_600_000;
const admin: Principal = { name: "admin", type: "Admin", scope: "admin", agents: undefined };

let folder: string;
let store: StateStore;
let access: Access;
let now: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "paddock-access-"));
  store = openStateStore({ folder, now: () => now });
  now = Date.now();
  await store.start();
});

beforeEach(() => {
  now = Date.now();
  access = openAccess(store, { tokenTtlHours: 24, maxTokenTtlHours: 1000 }, () => now);
});

afterAll(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const authenticate = async (token: string): Promise<Principal> => await access.authenticate(`Bearer ${token}`);
const unauthorized = { code: "unauthorized", message: "Unauthorized" };
const blocked = { code: "forbidden", message: "Principal is blocked" };

test("access - a token speaks for its principal, and only its hash is kept", async () => {
  const { token, row } = await access.issue({ principal: "u1", type: "User" }, admin);
  expect(token).toMatch(/^pdk_[A-Za-z0-9_-]{43}$/);
  expect(JSON.stringify(row)).not.toContain(token.slice(4));
  expect(row).toMatchObject({ scope: "write", createdBy: "admin", expiresAt: row.createdAt + 24 * HOUR_MS });
  expect(await authenticate(token)).toEqual({ name: "u1", type: "User", scope: "write", agents: undefined });
});

test.each([
  ["none", undefined],
  ["an empty one", ""],
  ["no token", "Bearer "],
  ["a lower-case scheme", "bearer TOKEN"],
  ["another scheme", "Basic TOKEN"],
  ["two spaces", "Bearer  TOKEN"],
  ["something behind it", "Bearer TOKEN x"],
  ["a line behind it", "Bearer TOKEN\n"],
  ["one character less", "Bearer SHORT"],
  ["an unknown one", `Bearer pdk_${"A".repeat(43)}`],
  ["a signed one of the stock server", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."],
])("access - the header with %s is nobody's", async (_name, header) => {
  const { token } = await access.issue({ principal: "u1", type: "User" }, admin);
  const sent = header?.replace("TOKEN", token).replace("SHORT", token.slice(0, -1));
  await expect(access.authenticate(sent)).rejects.toMatchObject(unauthorized);
});

test("access - no token lives longer than the operator lets it", async () => {
  const long = await access.issue({ principal: "u1", type: "User", ttlHours: 1e300 }, admin);
  expect(long.row.expiresAt).toBe(long.row.createdAt + 1000 * HOUR_MS);
  const short = openAccess(store, { tokenTtlHours: 24, maxTokenTtlHours: 2 }, () => now);
  const { row } = await short.issue({ principal: "u1", type: "User" }, admin);
  expect(row.expiresAt).toBe(row.createdAt + 2 * HOUR_MS);
});

test("access - a token ends at its time, and at once when it is revoked", async () => {
  const short = await access.issue({ principal: "u1", type: "User", ttlHours: 1 }, admin);
  now += HOUR_MS - 1;
  await authenticate(short.token);
  now += 1;
  await expect(authenticate(short.token)).rejects.toMatchObject(unauthorized);

  const { token, row } = await access.issue({ principal: "u1", type: "User" }, admin);
  await authenticate(token);
  expect(await access.revoke(row.id)).toBe(true);
  await expect(authenticate(token)).rejects.toMatchObject(unauthorized);
  expect(await access.revoke(row.id)).toBe(false);
});

test("access - a block holds for users and for operators, from the next request on", async () => {
  await store.insertOperator(makeOperator("olga", await access.hashPassword("olga's password")));
  const user = await access.issue({ principal: "ulla", type: "User" }, admin);
  const operator = await access.issue({ principal: "olga", type: "Admin" }, admin);
  await store.block("ulla", "User", now);
  await store.block("olga", "User", now);
  await expect(authenticate(user.token)).rejects.toMatchObject(blocked);
  await authenticate(operator.token);
  await store.block("olga", "Admin", now);
  await expect(authenticate(operator.token)).rejects.toMatchObject(blocked);
  await expect(access.login("olga", "olga's password", undefined)).rejects.toMatchObject(blocked);
  await store.unblock("ulla", "User");
  await authenticate(user.token);
});

test("access - an operator's tokens end with the operator", async () => {
  await store.insertOperator(makeOperator("otto", null));
  const { token } = await access.issue({ principal: "otto", type: "Admin" }, admin);
  expect(await authenticate(token)).toMatchObject({ name: "otto", type: "Admin", scope: "write" });
  await store.updateOperator("otto", { active: false });
  await expect(authenticate(token)).rejects.toMatchObject(unauthorized);
  await store.updateOperator("otto", { active: true });
  await authenticate(token);
  await store.deleteOperator("otto");
  await expect(authenticate(token)).rejects.toMatchObject(unauthorized);
});

test("access - logging in takes the right password of an active operator who has one", async () => {
  await store.insertOperator(makeOperator("ida", await access.hashPassword("ida's password")));
  await store.insertOperator(makeOperator("nopass", null));
  const { token, row } = await access.login("ida", "ida's password", 2);
  expect(row).toMatchObject({ principal: "ida", type: "Admin", scope: "write", expiresAt: now + 2 * HOUR_MS });
  expect(await authenticate(token)).toMatchObject({ name: "ida" });
  expect((await store.findOperator("ida"))?.lastLoginAt).toBe(now);
  for (const [name, password] of [
    ["ida", "Ida's password"],
    ["ida", ""],
    ["nopass", ""],
    ["nopass", "null"],
    ["nobody", "ida's password"],
  ] as const)
    await expect(access.login(name, password, undefined)).rejects.toMatchObject(unauthorized);
  await store.updateOperator("ida", { active: false });
  await expect(access.login("ida", "ida's password", undefined)).rejects.toMatchObject(unauthorized);
});

test("access - a flood of logins is refused, not queued without end", async () => {
  const all = await Promise.allSettled(
    Array.from({ length: 20 }, async () => await access.login("nobody", "x", undefined)),
  );
  const codes = all.map((result) => (result.status === "rejected" ? (result.reason as { code: string }).code : "in"));
  expect(Object.groupBy(codes, (code) => code)).toEqual({
    unauthorized: expect.objectContaining({ length: 6 }),
    rate_limited: expect.objectContaining({ length: 14 }),
  });
});

test("access - a damaged password hash lets nobody in", async () => {
  for (const hash of ["", `scrypt$${"A".repeat(22)}$`, null]) expect(await verifyPassword("", hash)).toBe(false);
});

test("access - the first start makes an admin token, later ones none, unless it is asked for or none lives", async () => {
  const own = mkdtempSync(join(tmpdir(), "paddock-access-"));
  await using fresh = openStateStore({ folder: own, now: () => now });
  await fresh.start();
  const mine = openAccess(fresh, { tokenTtlHours: 24, maxTokenTtlHours: 1000 }, () => now);
  const first = await mine.ensureAdmin({ password: undefined, renew: false });
  expect(await mine.authenticate(`Bearer ${first?.token}`)).toEqual(admin);
  await expect(mine.login("admin", "admin", undefined)).rejects.toMatchObject(unauthorized);
  expect(await mine.ensureAdmin({ password: undefined, renew: false })).toBeUndefined();
  const second = await mine.ensureAdmin({ password: "a long password", renew: true });
  expect(await mine.authenticate(`Bearer ${second?.token}`)).toEqual(admin);
  expect((await mine.login("admin", "a long password", undefined)).row.scope).toBe("admin");
  now += 25 * HOUR_MS;
  expect(await mine.ensureAdmin({ password: undefined, renew: false })).toBeDefined();
  rmSync(own, { recursive: true });
});

test("access - a token that is limited to agents is never an admin's", async () => {
  await expect(
    access.issue({ principal: "admin", type: "Admin", scope: "admin", agents: ["a"] }, admin),
  ).rejects.toMatchObject({ code: "invalid_request" });
  const { token } = await access.issue({ principal: "u1", type: "User", agents: ["Demo"] }, admin);
  expect(await authenticate(token)).toMatchObject({ scope: "write", agents: ["demo"] });
});

const makeOperator = (name: string, passwordHash: string | null) => ({
  ...{ name, passwordHash, description: null, active: true, createdAt: now, updatedAt: now, lastLoginAt: null },
});
