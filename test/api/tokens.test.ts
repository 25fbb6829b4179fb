import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../support/service.ts";

const PASSWORD = "a password of the operator";

let service: TestService;
let user: string;

beforeAll(async () => {
  service = await startService({ service: { adminPassword: PASSWORD, logLevel: "debug" } });
  user = await service.token("u1");
});

afterAll(async () => await service[Symbol.asyncDispose]());

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function ask(method: string, path: string, token?: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${service.url}/api/v0${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return { status: response.status, body: isJson ? JSON.parse(text) : text };
}

const admin = async (method: string, path: string, body?: unknown): Promise<Answer> =>
  await ask(method, path, service.adminToken, body);
const login = async (name: string, pass: string, more = {}): Promise<Answer> =>
  await ask("POST", `/operators/${name}/login`, undefined, { pass, ...more });
const tokenOf = ({ body }: Answer): string => (body as { token: string }).token;

test("tokens - vector 1: without a header, or with another scheme, Unauthorized", async () => {
  const refused = { status: 401, body: { message: "Unauthorized" } };
  expect(await ask("GET", "/agents")).toEqual(refused);
  const response = await fetch(`${service.url}/api/v0/agents`, { headers: { authorization: `bearer ${user}` } });
  expect([response.status, await response.json(), response.headers.get("www-authenticate")]).toEqual([
    401,
    refused.body,
    null,
  ]);
});

test("tokens - vector 2: the version without a header", async () => {
  const { status, body } = await ask("GET", "/version");
  expect([status, body]).toEqual([
    200,
    {
      version: expect.any(String),
      api: "v0",
      paddock: { items: ["text", "python", "javascript", "bash", "tool_calls", "recipe"] },
    },
  ]);
});

test("tokens - vector 4: only admin creates tokens", async () => {
  const answer = await ask("POST", "/auth/token", user, { principal: "x", type: "User" });
  expect(answer).toEqual({ status: 403, body: { message: "Only admin can create tokens" } });
});

test("tokens - vector 5: a type that is none", async () => {
  const answer = await admin("POST", "/auth/token", { principal: "x", type: "user" });
  expect(answer).toEqual({ status: 400, body: { message: "Invalid type. Must be 'User' or 'Admin'" } });
});

test("tokens - logging in answers in the contract's shape, and with no password that was not set", async () => {
  const { status, body } = await login("admin", PASSWORD, { ttl_hours: 2 });
  expect([status, body]).toEqual([
    200,
    {
      ...{ token: expect.stringMatching(/^pdk_/), token_type: "Bearer", user: "admin", role: "admin" },
      ...{ expires_at: expect.stringMatching(/\+00:00$/), id: expect.any(String), scope: "admin" },
    },
  ]);
  expect(await ask("GET", "/auth", tokenOf({ status, body }))).toEqual({
    status: 200,
    body: { user: "admin", type: "Admin", scope: "admin" },
  });
  for (const [name, pass] of [
    ["admin", "admin"],
    ["admin", ""],
    ["nobody", PASSWORD],
  ] as const)
    expect(await login(name, pass)).toEqual({ status: 401, body: { message: "Unauthorized" } });
  expect((await ask("POST", "/operators/admin/login", undefined, {})).status).toBe(422);
});

test.each([0, -1, -0.5, "24", [24]])(
  "tokens - a life of %j hours is refused, not taken for a long one",
  async (ttl_hours) => {
    const refused = { status: 422, body: expect.stringContaining("ttl_hours: ") };
    expect(await admin("POST", "/auth/token", { principal: "u9", type: "User", ttl_hours })).toEqual(refused);
    expect(await login("admin", PASSWORD, { ttl_hours })).toEqual(refused);
  },
);

test("tokens - a huge life is cut to the operator's longest", async () => {
  const ends = async (ttl_hours?: number): Promise<number> => {
    const { body } = await admin("POST", "/auth/token", { principal: "u9", type: "User", ttl_hours });
    return (Date.parse((body as { expires_at: string }).expires_at) - Date.now()) / 3_600_000;
  };
  expect(Math.round(await ends(1e300))).toBe(8760);
  expect(Math.round(await ends())).toBe(720);
  expect(Math.round(await ends(2))).toBe(2);
});

test("tokens - one of scope metrics scrapes, and opens no other door", async () => {
  const scraper = await service.token("prometheus", "metrics");
  const get = async (path: string, token: string): Promise<Response> =>
    await fetch(`${service.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
  expect((await get("/metrics", scraper)).status).toBe(200);
  expect(await (await get("/ready", scraper)).json()).toHaveProperty("checks.store");
  for (const scope of ["read", "write"] as const)
    expect((await get("/metrics", await service.token("prometheus", scope))).status).toBe(403);
  const closed = service.service.server.routeTable.routes.filter(({ access }) => access !== "public");
  expect(closed.length).toBeGreaterThan(40);
  for (const { method, url } of closed.filter(({ url }) => url !== "/metrics")) {
    const path = url.replace(/:(\w+)/g, "x").replace("*", "x");
    const response = await fetch(`${service.url}${path}`, { method, headers: { authorization: `Bearer ${scraper}` } });
    expect([method, url, response.status]).toEqual([method, url, 403]);
  }
  const limited = { principal: "prometheus", type: "User", scope: "metrics", agents: ["x"] };
  expect((await admin("POST", "/auth/token", limited)).status).toBe(400);
});

test("tokens - everybody lists and revokes their own, admin all", async () => {
  const mine = tokenOf(
    await admin("POST", "/auth/token", { principal: "u2", type: "User", scope: "read", ttl_hours: null }),
  );
  const listed = (await ask("GET", "/auth/tokens", mine)).body as { items: { id: string }[] };
  expect(listed.items).toEqual([
    {
      ...{ id: expect.any(String), principal: "u2", type: "User", scope: "read", agents: null, created_by: "admin" },
      ...{ created_at: expect.any(String), expires_at: expect.any(String) },
    },
  ]);
  const [{ id } = { id: "" }] = listed.items;
  const all = (await admin("GET", "/auth/tokens")).body as { items: { id: string }[] };
  expect(all.items.length).toBeGreaterThan(2);
  expect(JSON.stringify(all)).not.toMatch(/hash|pdk_|[0-9a-f]{64}/);
  expect(await ask("DELETE", `/auth/tokens/${id}`, user)).toEqual({
    status: 404,
    body: { message: "Token not found" },
  });
  expect(await ask("DELETE", `/auth/tokens/${id}`, mine)).toEqual({ status: 200, body: { revoked: true } });
  expect((await ask("GET", "/auth", mine)).status).toBe(401);
  expect((await admin("DELETE", `/auth/tokens/${id}`)).status).toBe(404);
});

test("tokens - one that may only look takes back none that may work", async () => {
  const issue = async (scope: string) => await admin("POST", "/auth/token", { principal: "u3", type: "User", scope });
  const worker = await issue("write");
  const reader = tokenOf(await issue("read"));
  const { id } = worker.body as { id: string };
  expect((await ask("DELETE", `/auth/tokens/${id}`, reader)).status).toBe(403);
  expect((await ask("GET", "/auth", tokenOf(worker))).status).toBe(200);
  expect((await ask("DELETE", `/auth/tokens/${id}`, tokenOf(worker))).status).toBe(200);
});

test("tokens - operators are made, changed and removed by admin, and change their own password", async () => {
  const made = await admin("POST", "/operators", { user: "olga", pass: "olga's first", description: "night shift" });
  expect(made).toEqual({
    status: 200,
    body: {
      ...{ user: "olga", description: "night shift", active: true, last_login_at: null },
      ...{ created_at: expect.any(String), updated_at: expect.any(String) },
    },
  });
  expect(await admin("POST", "/operators", { user: "olga", pass: "long enough" })).toEqual({
    status: 409,
    body: { message: "Operator already exists" },
  });
  expect((await admin("POST", "/operators", { user: "ol ga", pass: "long enough" })).status).toBe(422);
  expect(await admin("POST", "/operators", { user: "oskar", pass: "7 chars" })).toEqual({
    status: 422,
    body: expect.stringContaining("pass: "),
  });
  const olga = tokenOf(await login("olga", "olga's first"));
  expect((await ask("GET", "/operators", olga)).body).toMatchObject([{ user: "olga" }]);
  expect((await ask("GET", "/operators", user)).body).toEqual([]);
  expect(await ask("GET", "/operators/admin", olga)).toEqual({
    status: 403,
    body: { message: "Insufficient permissions" },
  });
  expect(await ask("POST", "/operators", olga, { user: "x", pass: "long enough" })).toEqual({
    status: 403,
    body: { message: "Insufficient permissions" },
  });
  const change = { current_password: "wrong", new_password: "olga's second" };
  expect((await ask("PUT", "/operators/olga/password", olga, change)).status).toBe(401);
  expect(await ask("PUT", "/operators/olga/password", olga, { ...change, current_password: "olga's first" })).toEqual({
    status: 200,
    body: "",
  });
  const short = { current_password: "olga's second", new_password: "7 chars" };
  expect((await ask("PUT", "/operators/olga/password", olga, short)).status).toBe(422);
  expect((await login("olga", "olga's first")).status).toBe(401);
  expect((await login("olga", "olga's second")).status).toBe(200);
  expect((await admin("PUT", "/operators/olga", { description: "x" })).status).toBe(422);
  expect((await admin("PUT", "/operators/olga", { active: null })).status).toBe(404);
  expect((await admin("PUT", "/operators/olga", { active: false })).body).toMatchObject({ active: false });
  expect((await ask("GET", "/auth", olga)).status).toBe(401);
  expect(await admin("DELETE", "/operators/olga")).toEqual({ status: 200, body: "" });
  expect(await admin("GET", "/operators/olga")).toEqual({ status: 404, body: { message: "Operator not found" } });
  for (const [method, path, body] of [
    ["DELETE", "/operators/admin", undefined],
    ["PUT", "/operators/admin", { active: false }],
    ["POST", "/blocklist/block", { principal: "admin", type: "Admin" }],
  ] as const)
    expect((await admin(method, path, body)).status).toBe(400);
});

test("tokens - a blocked principal is refused at once, and let in again", async () => {
  const token = await service.token("u3");
  expect(await admin("POST", "/blocklist/block", { principal: "u3" })).toEqual({
    status: 200,
    body: { blocked: true, created: true },
  });
  expect((await admin("POST", "/blocklist/block", { principal: "u3" })).body).toEqual({
    blocked: true,
    created: false,
  });
  expect(await ask("GET", "/auth", token)).toEqual({ status: 403, body: { message: "Principal is blocked" } });
  expect((await admin("GET", "/blocklist")).body).toEqual([
    { principal: "u3", principal_type: "Subject", created_at: expect.any(String) },
  ]);
  expect((await admin("POST", "/blocklist/unblock", { principal: "u3" })).body).toEqual({
    blocked: false,
    deleted: true,
  });
  expect((await ask("GET", "/auth", token)).status).toBe(200);
  expect(await ask("GET", "/blocklist", user)).toEqual({
    status: 403,
    body: { message: "Only admin can perform this action" },
  });
});

test("tokens - keys that a body may not have change nothing", async () => {
  const forbidden = {
    ...{
      created_by: "admin",
      createdBy: "admin",
      state: "idle",
      uid: 0,
      privileged: true,
      capAdd: ["ALL"],
      hostPath: "/",
    },
    ...{
      driverArgs: ["--bind", "/", "/"],
      runtime: "runc",
      image: "x",
      nodeId: "other",
      is_published: true,
      volumeId: "vol_x",
    },
    ...{ settings: { limits: { memory_bytes: 1e12 } }, labels: { "paddock.owner": "x" }, tenantId: "x", id: "agt_x" },
  };
  const { status, body } = await ask("POST", "/agents", user, {
    name: "assigned",
    metadata: { bare: true },
    ...forbidden,
  });
  expect([status, body]).toMatchObject([
    200,
    { name: "assigned", created_by: "u1", state: "init", is_published: false },
  ]);
  expect(body).not.toHaveProperty("uid");
  const row = await service.service.store.findAgent("assigned");
  const stored = JSON.stringify(row);
  for (const word of [
    "privileged",
    "capAdd",
    "hostPath",
    "driverArgs",
    "tenantId",
    "vol_x",
    "agt_x",
    "other",
    "1000000000000",
  ])
    expect(stored).not.toContain(word);
  const token = await admin("POST", "/auth/token", {
    principal: "u4",
    type: "User",
    hash: "0".repeat(64),
    createdBy: "x",
    id: "mine",
    expiresAt: 0,
  });
  expect(token.body).not.toMatchObject({ id: "mine" });
});

test("tokens - neither the data folder nor the log holds a token or a password", async () => {
  await fetch(`${service.url}/api/v0/agents?token=${user}`, {
    headers: { authorization: `Bearer ${user}`, "user-agent": `x\r\n ${user}`.replace("\r\n", "") },
  });
  await fetch(`${service.url}/api/v0/agents/${user}`, { headers: { authorization: `Bearer ${user}` } });
  const written = [service.logged(), ...readAll(service.app.config.home.state), JSON.stringify(await metrics())].join(
    "\n",
  );
  expect(written.length).toBeGreaterThan(10_000);
  for (const secret of [user, service.adminToken, PASSWORD, "olga's first", "olga's second"])
    expect(written).not.toContain(secret);
  expect(written).toContain("scrypt$");
});

const metrics = async (): Promise<string> =>
  await (await fetch(`${service.url}/metrics`, { headers: { authorization: `Bearer ${service.adminToken}` } })).text();

const readAll = (folder: string): string[] =>
  readdirSync(folder).map((name) => readFileSync(join(folder, name), "latin1"));
