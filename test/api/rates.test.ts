import { afterAll, beforeAll, expect, test } from "vitest";
import { MAX_OPEN_REQUESTS } from "../../src/api/http/request-limits.ts";
import { RawConnection } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

const BURST = 40;

let service: TestService;

beforeAll(async () => {
  // One more comes once in a hundred seconds: what a test sees does not depend on its speed.
  service = await startService({ service: { ratePerSecond: 0.01, rateBurst: BURST } });
});

afterAll(async () => await service[Symbol.asyncDispose]());

const get = async (path: string, token?: string): Promise<Response> =>
  await fetch(`${service.url}${path}`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });

test("rates - a principal's flood is refused with the time to wait, whatever its token, and nobody else's", async () => {
  const [loud, second, quiet] = [
    await service.token("loud"),
    await service.token("loud", "read"),
    await service.token("quiet"),
  ];
  const statuses = await Promise.all(
    Array.from({ length: BURST }, async () => (await get("/api/v0/auth", loud)).status),
  );
  expect(new Set(statuses)).toEqual(new Set([200]));
  for (const token of [loud, second]) {
    const refused = await get("/api/v0/auth", token);
    expect([refused.status, await refused.json(), refused.headers.get("x-paddock-code")]).toEqual([
      429,
      { message: "Too many requests" },
      "rate_limited",
    ]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(50);
  }
  expect((await get("/api/v0/auth", quiet)).status).toBe(200);
});

test("rates - guesses of tokens are slowed down by address, and /health never is", async () => {
  const statuses: number[] = [];
  for (let guess = 0; guess <= BURST; guess++)
    statuses.push((await get("/api/v0/auth", `pdk_${"x".repeat(43)}`)).status);
  expect(statuses.at(-1)).toBe(429);
  expect(statuses).toContain(401);
  expect((await get("/api/v0/version")).status).toBe(429);
  expect((await get("/health")).status).toBe(200);
  expect((await get("/api/v0/auth", await service.token("honest"))).status).toBe(200);
});

test("rates - one address gets few tries of passwords, and everything else as before", async () => {
  await using own = await startService();
  const login = async (): Promise<number> => {
    const request = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
    return (await fetch(`${own.url}/api/v0/operators/admin/login`, request)).status;
  };
  const statuses: number[] = [];
  while (statuses.length < 60 && statuses.at(-1) !== 429) statuses.push(await login());
  expect(statuses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 422));
  expect(statuses.at(-1)).toBe(429);
  expect((await fetch(`${own.url}/api/v0/version`)).status).toBe(200);
});

test("rates - one principal holds so many requests open, and another still gets in", async () => {
  await using own = await startService();
  const [many, other] = [await own.token("many"), await own.token("other")];
  const body = `POST /api/v0/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${many}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n`;
  const open = await Promise.all(
    Array.from({ length: MAX_OPEN_REQUESTS }, async () => await RawConnection.open(own.url)),
  );
  for (const connection of open) connection.send(body);
  const ask = async (token: string): Promise<number> =>
    (await fetch(`${own.url}/api/v0/auth`, { headers: { authorization: `Bearer ${token}` } })).status;
  await expect.poll(async () => await ask(many), { timeout: 20_000 }).toBe(429);
  expect(await ask(other)).toBe(200);
  for (const connection of open) connection[Symbol.dispose]();
  await expect.poll(async () => await ask(many), { timeout: 20_000 }).toBe(200);
});
