import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { openAccess } from "../../src/access/open.ts";
import { requireJson } from "../../src/api/http/bodies.ts";
import { makeServer } from "../../src/api/http/make-server.ts";
import type { RouteGroup, Server } from "../../src/api/http/server-services.ts";
import { OPERATIONS_GROUP } from "../../src/api/operations/route-group.ts";
import { RACTOR_GROUP } from "../../src/api/ractor/route-group.ts";
import { compileService } from "../../src/config/service.ts";
import { PaddockError } from "../../src/errors/error.ts";
import type { Principal } from "../../src/model/principal.ts";
import { openStateStore } from "../../src/store/state/open.ts";

/** A protocol of lines: small bodies, agents are boxes, errors are one line of text. */
const LINES_GROUP: RouteGroup = {
  bodyLimit: 32,
  headers: { "x-protocol": "lines" },
  findAgent: ({ params }) => (params as { box?: string }).box,
  sendFailure: (reply, { status, code, refused }) =>
    reply.type("text/plain").send(`ERR ${status} ${code} ${refused ?? "handler"}\n`),
};

const admin: Principal = { name: "root", type: "Admin", scope: "admin", agents: undefined };
const folder = mkdtempSync(join(tmpdir(), "paddock-groups-"));
const config = { ...compileService({}, {}), ratePerSecond: 1e6, rateBurst: 1e6 };
const store = openStateStore({ folder });
const access = openAccess(store, config);
const tokens = { whole: "", limited: "" };
let server: Server;
let url: string;

beforeAll(async () => {
  await store.start();
  const issue = async (agents?: readonly string[]): Promise<string> =>
    (await access.issue({ principal: "u1", type: "User", ...(agents === undefined ? {} : { agents }) }, admin)).token;
  tokens.whole = await issue();
  tokens.limited = await issue(["mine"]);
  const telemetry = { record: () => undefined, problem: () => undefined };
  const groups = { below: { "/api/v0": RACTOR_GROUP, "/lines": LINES_GROUP }, others: OPERATIONS_GROUP };
  server = makeServer({ config, access, telemetry, isDraining: () => false }, groups);
  for (const path of ["/lines/boxes/:box", "/api/v0/agents/:name", "/operations/agents/:name"]) addRoutes(server, path);
  url = await server.listen({ port: 0, host: "127.0.0.1" });
});

afterAll(async () => {
  await server.close();
  await store[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function addRoutes(server: Server, path: string): void {
  const schema = { body: z.strictObject({ text: z.string() }) };
  server.post(path, { schema, config: { access: "read" }, onRequest: requireJson }, () => "done");
  server.get(path, { config: { access: "read" } }, () => {
    throw new PaddockError("agent_busy", "It is busy");
  });
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

async function ask(method: string, path: string, body?: unknown, token = tokens.whole): Promise<Answer> {
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const answer = await fetch(`${url}${path}`, { method, headers, ...sent });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
}

test.each([
  ["/lines/boxes/mine", "ERR 409 agent_busy handler\n", "text/plain"],
  ["/api/v0/agents/mine", '{"message":"It is busy"}', "application/json; charset=utf-8"],
  [
    "/operations/agents/mine",
    expect.stringMatching(/^\{"code":"agent_busy","message":"It is busy","hint":/),
    "application/json; charset=utf-8",
  ],
])("route groups - a failure at %s has the form of its protocol", async (path, text, type) => {
  const answer = await ask("GET", path);
  expect(answer).toMatchObject({ status: 409, text });
  expect(answer.headers.get("content-type")).toBe(type);
  expect(answer.headers.get("x-protocol")).toBe(path.startsWith("/lines") ? "lines" : null);
});

test.each([
  ["/lines/boxes/mine", "ERR 422 invalid_request body\n"],
  ["/api/v0/agents/mine", expect.stringMatching(/^Failed to deserialize the JSON body into the target type: text: /)],
  ["/operations/agents/mine", expect.stringMatching(/^\{"code":"invalid_request","message":"text: /)],
])("route groups - a body of the wrong shape at %s is refused in the form of its protocol", async (path, text) => {
  expect(await ask("POST", path, { text: 1 })).toMatchObject({ status: 422, text });
});

test.each([
  ["/lines/nothing", "ERR 404 not_found route\n"],
  ["/api/v0/nothing", ""],
  ["/linesnothing", expect.stringMatching(/^\{"code":"not_found","message":"Not found"/)],
])("route groups - the unknown path %s is answered by the protocol that it lies below", async (path, text) => {
  expect(await ask("GET", path)).toMatchObject({ status: 404, text });
});

test.each([
  ["/lines/boxes/mine", 32],
  ["/operations/agents/mine", OPERATIONS_GROUP.bodyLimit],
  ["/api/v0/agents/mine", RACTOR_GROUP.bodyLimit],
])("route groups - %s takes bodies of %i bytes and no more", async (path, limit) => {
  const text = "x".repeat(limit - JSON.stringify({ text: "" }).length);
  expect(await ask("POST", path, { text })).toMatchObject({ status: 200, text: "done" });
  expect((await ask("POST", path, { text: `${text}x` })).status).toBe(413);
});

test.each([
  ["/lines/boxes/mine", 200],
  ["/lines/boxes/other", 403],
  ["/api/v0/agents/mine", 200],
  ["/api/v0/agents/other", 403],
  ["/operations/agents/mine", 403],
])("route groups - a token that is limited to one agent gets %s answered with %i", async (path, status) => {
  expect((await ask("POST", path, { text: "" }, tokens.limited)).status).toBe(status);
});
