import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let user: string;

beforeAll(async () => {
  service = await startService();
  user = await service.token("u1");
});

afterAll(async () => await service[Symbol.asyncDispose]());

const get = async (path: string, token?: string): Promise<Response> =>
  await fetch(`${service.url}${path}`, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });

test("operations - it is alive and ready, and tells callers with a token what it looked at", async () => {
  expect(await (await get("/health")).json()).toEqual({ status: "ok" });
  expect(await (await get("/ready")).json()).toEqual({ ready: true });
  expect(await (await get("/ready", user)).json()).toEqual({
    ready: true,
    checks: {
      server: { ok: true },
      driver: { ok: true, detail: "bubblewrap" },
      store: { ok: true, detail: "sqlite" },
      disk: { ok: true, detail: expect.stringMatching(/^\d+ MiB free$/) },
    },
  });
  expect((await get("/ready", "garbage")).status).toBe(401);
});

test("operations - metrics are admin's, or anybody's where the operator says so", async () => {
  expect((await get("/metrics")).status).toBe(401);
  expect((await get("/metrics", user)).status).toBe(403);
  const response = await get("/metrics", service.adminToken);
  expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(await response.text()).toContain("paddock_http_requests_total");
  await using open = await startService({ service: { publicMetrics: true } });
  expect((await fetch(`${open.url}/metrics`)).status).toBe(200);
});

test("operations - the description names every route, its access and its bodies", async () => {
  const document = (await (await get("/openapi.json")).json()) as {
    openapi: string;
    paths: Record<string, Record<string, { security: unknown[]; requestBody?: unknown; responses: object }>>;
  };
  expect(document.openapi).toBe("3.1.0");
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const hidden = /^GET \/(docs|openapi\.json|content\/(:name)?)$/;
  const routes = service.service.server.routeTable.routes
    .map(({ method, url }) => `${method} ${url}`)
    .filter((route) => !route.startsWith("HEAD ") && !hidden.test(route))
    .map((route) => route.replace(/:(\w+)/g, "{$1}").replace("*", "{*}"));
  expect(described.filter((route) => !route.startsWith("HEAD ")).sort()).toEqual(routes.sort());
  const scrape = document.paths["/metrics"]?.["get"]?.responses as { 200: { content: object } };
  expect(Object.keys(scrape[200].content)).toEqual(["text/plain"]);
  expect(document.paths["/api/v0/version"]?.["get"]?.security).toEqual([]);
  expect(document.paths["/api/v0/agents"]?.["post"]).toMatchObject({ security: [{ token: [] }], requestBody: {} });
});

test("operations - the page for people needs no script and nothing from elsewhere", async () => {
  const response = await get("/docs");
  const page = await response.text();
  expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'sha256-/);
  expect(page).toContain("/api/v0/agents/{name}/responses");
  expect(page).not.toMatch(/<script|src=|@import|url\(|javascript:/i);
});

test("operations - errors of our own routes carry code, message, hint and whether to try again", async () => {
  const response = await get("/metrics");
  expect([response.status, response.headers.get("www-authenticate"), await response.json()]).toEqual([
    401,
    "Bearer",
    {
      code: "unauthorized",
      message: "Unauthorized",
      hint: expect.stringContaining("Authorization: Bearer <token>"),
      retryable: false,
    },
  ]);
});

test("operations - what fails inside is told without its inside", async () => {
  await using own = await startService();
  const token = await own.token("u1");
  await own.service.store[Symbol.asyncDispose]();
  for (const path of ["/api/v0/agents", "/metrics"]) {
    const response = await fetch(`${own.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    const text = await response.text();
    expect([500, 503]).toContain(response.status);
    expect(text).toMatch(/Internal error|Temporarily unavailable/);
    expect(text).not.toMatch(/sql|\/var\/|\n\s+at |node:|paddock\.db/i);
  }
  const ready = await fetch(`${own.url}/ready`);
  expect([ready.status, await ready.json()]).toEqual([503, { ready: false }]);
  expect((await fetch(`${own.url}/health`)).status).toBe(200);
});

test("operations - hints are for who asks over HTTP, not for the command line", async () => {
  const hintOf = async (path: string, init: RequestInit = {}): Promise<string> => {
    const headers = { authorization: `Bearer ${user}`, "content-type": "application/json" };
    const response = await fetch(`${service.url}/api/v0${path}`, { headers, ...init });
    expect(response.status).toBeGreaterThanOrEqual(400);
    return response.headers.get("x-paddock-hint") ?? "";
  };
  expect(await hintOf("/agents/nobody")).toBe("Check the name or id in the path.");
  expect(await hintOf("/agents", { headers: {} })).toContain("Authorization: Bearer <token>");
  const create = (metadata: object) => ({ method: "POST", body: JSON.stringify({ name: "hints", metadata }) });
  for (const metadata of [{ bare: "yes" }, { limits: { memory_bytes: 1e15 } }, { limits: { memoryBytes: 1 } }])
    expect(await hintOf("/agents", create(metadata))).toContain("docs/agents.md");
  expect(await hintOf("/agents", create({ network: "http://x" }))).toContain("docs/network.md");
});
