import { randomUUID } from "node:crypto";
import { request } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hashToken, makeToken } from "../../src/access/tokens.ts";
import type { RouteEntry } from "../../src/api/http/route-table.ts";
import { OPERATIONS_GROUP } from "../../src/api/operations/route-group.ts";
import type { TokenRow } from "../../src/model/principal.ts";
import { askRaw } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let protectedRoutes: readonly RouteEntry[];
let valid: string;
let expired: string;
let revoked: string;

beforeAll(async () => {
  service = await startService();
  protectedRoutes = service.service.server.routeTable.routes.filter(({ access }) => access !== "public");
  valid = await service.token("u1");
  expired = await plant({ expiresAt: Date.now() - 1 });
  revoked = await plant({ revokedAt: Date.now() - 1 });
});

afterAll(async () => await service[Symbol.asyncDispose]());

async function plant(change: Partial<TokenRow>): Promise<string> {
  const token = makeToken();
  const row: TokenRow = {
    ...{ id: randomUUID(), hash: hashToken(token), principal: "u1", type: "User", scope: "admin", agents: null },
    ...{ createdBy: "admin", createdAt: Date.now() - 1000, expiresAt: null, revokedAt: null, ...change },
  };
  await service.service.store.insertToken(row);
  return token;
}

/** A path of the route, with ids that nothing has. */
const fill = (url: string): string => url.replace(/:id/g, randomUUID()).replace(/:\w+/g, "nope").replace("*", "a/b");

interface Answer {
  readonly status: number | undefined;
  readonly text: string;
}

/** The path is sent as it is. */
async function ask(method: string, path: string, headers: Record<string, string | string[]> = {}): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { hostname, port } = new URL(service.url);
  const sent = request({ hostname, port, method, path, headers }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() }));
  });
  sent.on("error", reject).end();
  return await promise;
}

const eachRoute = async (check: (route: RouteEntry, path: string) => Promise<void>): Promise<void> => {
  expect(protectedRoutes.length).toBeGreaterThan(60);
  for (const route of protectedRoutes) await check(route, fill(route.url));
};

test("api - every route that is not public names a scope", () => {
  const { routes } = service.service.server.routeTable;
  expect(new Set(routes.map(({ access }) => access))).toEqual(new Set(["public", "metrics", "read", "write", "admin"]));
  const open = routes.filter(({ access, method }) => access === "public" && method !== "HEAD");
  expect(open.map(({ method, url }) => `${method} ${url}`).sort()).toEqual([
    "GET /api/v0/published/agents",
    "GET /api/v0/published/agents/:name",
    "GET /api/v0/version",
    "GET /content/",
    "GET /content/:name",
    "GET /content/:name/*",
    "GET /content/health",
    "GET /docs",
    "GET /health",
    "GET /openapi.json",
    "GET /ready",
    "POST /api/v0/operators/:name/login",
  ]);
});

test("api - a route that does not say who may call it is not registered", async () => {
  const { makeServer } = await import("../../src/api/http/make-server.ts");
  const groups = { below: {}, others: OPERATIONS_GROUP };
  const server = makeServer({ ...service.app, config: service.app.config.service } as never, groups);
  expect(() => server.get("/open", () => "")).toThrow("/open does not say who may call it");
});

test("api - no route lets anybody in without a living token, however it is sent", async () => {
  await eachRoute(async ({ method }, path) => {
    const bodyOf = ({ status, text }: Answer) =>
      text === "" || path.startsWith("/api/v0") ? [status, text] : [status, ""];
    const refused = [401, method === "HEAD" || !path.startsWith("/api/v0") ? "" : '{"message":"Unauthorized"}'];
    const sent: Record<string, string | string[]>[] = [
      {},
      { authorization: "garbage" },
      { authorization: `Bearer ${makeToken()}` },
      { authorization: `Bearer ${expired}` },
      { authorization: `Bearer ${revoked}` },
      { authorization: `bearer ${valid}` },
      { authorization: `Bearer  ${valid}` },
      { cookie: `token=${valid}; authorization=Bearer ${valid}` },
      { "x-forwarded-authorization": `Bearer ${valid}`, "proxy-authorization": `Bearer ${valid}` },
    ];
    for (const headers of sent)
      expect([method, path, ...bodyOf(await ask(method, path, headers))]).toEqual([method, path, ...refused]);
    const query = `${path}?token=${valid}&access_token=${valid}&authorization=Bearer%20${valid}`;
    expect(bodyOf(await ask(method, query))).toEqual(refused);
  });
});

test("api - a token in two headers is nobody's", async () => {
  const twice = `GET /api/v0/auth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer ${valid}\r\nAuthorization: Bearer ${valid}\r\n\r\n`;
  const { sendRaw } = await import("../support/raw-http.ts");
  expect((await sendRaw(service.url, twice)).status).toBe(401);
  expect((await askRaw(service.url, "GET", "/api/v0/auth", { authorization: `Bearer ${valid}` })).status).toBe(200);
});

test("api - odd forms of a path or a method are no way around", async () => {
  await eachRoute(async ({ method, url }, path) => {
    const forms = [
      path.replace("/", "//"),
      path.replaceAll("/", "//"),
      `/./${path}`,
      `/x/..${path}`,
      path.replaceAll("/", "%2f"),
      path.replaceAll("/", "%2F"),
      path.toUpperCase(),
      `${path}/`,
      `${path};x`,
      `${path}%00`,
      `${path}?`,
      path.replace("/api", "/%61pi"),
      path.replace("/v0", "\\v0"),
    ];
    for (const form of forms)
      expect([400, 401, 404, 405], `${method} ${form}`).toContain((await ask(method, form)).status);
    expect([401, 405], `OPTIONS ${url}`).toContain((await ask("OPTIONS", path)).status);
    for (const header of ["x-http-method-override", "x-method-override", "x-http-method"])
      expect([401, 404, 405]).toContain((await ask("POST", path, { [header]: method })).status);
  });
}, 120_000);

test("api - with a token that may do everything no route answers 401: the matrix above is not empty", async () => {
  await eachRoute(async ({ method }, path) => {
    const { status } = await ask(method, path, { authorization: `Bearer ${service.adminToken}` });
    expect([method, path, status]).not.toEqual([method, path, 401]);
  });
});

test("api - a scope below the route's is told so before anything else", async () => {
  const reader = await service.token("u1", "read");
  const levels = ["read", "write", "admin"];
  await eachRoute(async ({ method, access }, path) => {
    for (const [token, scope] of [
      [reader, "read"],
      [valid, "write"],
    ] as const)
      if (levels.indexOf(scope) < levels.indexOf(access))
        expect([method, path, (await ask(method, path, { authorization: `Bearer ${token}` })).status]).toEqual([
          method,
          path,
          403,
        ]);
  });
});

test("api - a token that is limited to agents reaches those alone", async () => {
  const { token } = await issueLimited();
  const headers = { authorization: `Bearer ${token}` };
  await eachRoute(async ({ method, url, access }, path) => {
    if (access === "admin") return;
    const { status } = await ask(method, path, headers);
    const isOwn = ["/api/v0/auth", "/api/v0/agents", "/api/v0/responses/:id"].includes(url);
    if (!isOwn) expect([method, path, status]).toEqual([method, path, 403]);
  });
  expect((await ask("GET", "/api/v0/agents/MINE", headers)).status).toBe(404);
});

async function issueLimited(): Promise<{ token: string }> {
  const response = await fetch(`${service.url}/api/v0/auth/token`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.adminToken}`, "content-type": "application/json" },
    body: JSON.stringify({ principal: "u1", type: "User", agents: ["Mine"] }),
  });
  return (await response.json()) as { token: string };
}

test("api - an unknown path is 404 and a wrong method 405, in the form of the path", async () => {
  expect(await ask("GET", "/api/v0/nothing")).toEqual({ status: 404, text: "" });
  expect(await ask("PATCH", "/api/v0/agents")).toEqual({ status: 405, text: "" });
  expect((await askRaw(service.url, "PATCH", "/api/v0/agents")).text).toMatch(/^allow: GET, HEAD, POST\r$/im);
  const { status, text } = await ask("GET", "/nothing");
  expect([status, JSON.parse(text)]).toEqual([
    404,
    { code: "not_found", message: "Not found", hint: expect.any(String), retryable: false },
  ]);
});
