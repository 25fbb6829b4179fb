import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startService, type TestService } from "../../support/service.ts";
import { Api, bash, type Reply, sendRaw } from "./api.ts";

/** The conformance vectors of the contract's appendix A, by their numbers. */
let service: TestService;
let u1: Api;
let admin: Api;

beforeAll(async () => {
  service = await startService();
  admin = new Api(service.url, service.adminToken);
  u1 = new Api(service.url, await service.token("u1"));
  await u1.makeAgent("owned");
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

const AGENT_KEYS =
  "name created_by state description parent_agent_name created_at last_activity_at metadata tags is_published published_at published_by publish_permissions idle_timeout_seconds busy_timeout_seconds idle_from busy_from context_cutoff_at last_context_length".split(
    " ",
  );
const JSON_TYPE = { "content-type": "application/json" };
const valid = { input: bash("true") };

interface Vector {
  readonly number: number;
  readonly what: string;
  readonly ask: () => Promise<Pick<Reply, "status" | "text">>;
  readonly status: number;
  /** A message, or a part of the text. */
  readonly message?: string;
  readonly text?: string;
}

const unnamed = (headers: Record<string, string>) => () =>
  fetch(`${service.url}/api/v0/agents`, { headers }).then(async (reply) => ({
    status: reply.status,
    text: await reply.text(),
  }));
const issue = (by: () => Api, type: string) => () => by().post("/auth/token", { principal: "u9", type });
const create = (body: object) => () => u1.post("/agents", body);
const plain = async (method: string, path: string, headers: Record<string, string>, body?: string) => {
  const reply = await fetch(`${u1.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${u1.token}`, ...headers },
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  });
  return { status: reply.status, text: await reply.text() };
};

const REFUSALS: readonly Vector[] = [
  { number: 1, what: "no header", ask: unnamed({}), status: 401, message: "Unauthorized" },
  { number: 1, what: "bearer x", ask: unnamed({ authorization: "bearer x" }), status: 401, message: "Unauthorized" },
  {
    number: 4,
    what: "token as u1",
    ask: issue(() => u1, "User"),
    status: 403,
    message: "Only admin can create tokens",
  },
  {
    number: 5,
    what: "type in lower case",
    ask: issue(() => admin, "user"),
    status: 400,
    message: "Invalid type. Must be 'User' or 'Admin'",
  },
  { number: 6, what: "underscore", ask: create({ name: "task-1-file_ops" }), status: 422, text: "name: " },
  { number: 7, what: "digit first", ask: create({ name: "1abc" }), status: 422 },
  { number: 7, what: "hyphen last", ask: create({ name: "abc-" }), status: 422 },
  { number: 7, what: "65 characters", ask: create({ name: "a".repeat(65) }), status: 422 },
  {
    number: 7,
    what: "no name",
    ask: create({}),
    status: 422,
    text: "Failed to deserialize the JSON body into the target type: name: ",
  },
  {
    number: 13,
    what: "no such agent",
    ask: () => u1.post("/agents/nope/responses", valid),
    status: 404,
    message: "Agent not found",
  },
  { number: 14, what: "no input", ask: () => u1.post("/agents/owned/responses", {}), status: 422, text: "input: " },
  {
    number: 14,
    what: "no Content-Type",
    ask: () => plain("POST", "/agents/owned/responses", {}, "{}"),
    status: 415,
    text: "Expected request with `Content-Type: application/json`",
  },
  {
    number: 14,
    what: "no Content-Type and no body",
    ask: () => plain("POST", "/agents/owned/responses", {}),
    status: 415,
    text: "Expected request with `Content-Type: application/json`",
  },
  {
    number: 14,
    what: "broken JSON",
    ask: () => plain("POST", "/agents/owned/responses", JSON_TYPE, "{"),
    status: 400,
    text: "Failed to parse the request body as JSON: ",
  },
  {
    number: 25,
    what: "list of ../x",
    ask: () => sendRaw("GET", service.url, "/api/v0/agents/owned/files/list/../x", u1.token),
    status: 400,
    message: "Invalid path",
  },
  {
    number: 25,
    what: "read of a//b",
    ask: () => sendRaw("GET", service.url, "/api/v0/agents/owned/files/read/a//b", u1.token),
    status: 400,
    message: "Invalid path",
  },
];

test.each(REFUSALS)("vector $number - $what is $status", async ({ ask, status, message, text }) => {
  const reply = await ask();
  expect(reply.status).toBe(status);
  if (message !== undefined) expect(JSON.parse(reply.text)).toEqual({ message });
  else expect(reply.text).toContain(text ?? "name: ");
});

test("vector 2 - the version is public", async () => {
  const reply = await fetch(`${service.url}/api/v0/version`);
  expect([reply.status, await reply.json()]).toMatchObject([200, { version: expect.any(String), api: "v0" }]);
});

test("vector 9 - an agent has 19 keys, lower-case tags and state init", async () => {
  const { status, json } = await u1.post("/agents", { name: "demo", tags: ["Prod/x"] });
  expect([status, json.tags, json.state, Object.keys(json)]).toEqual([200, ["prod/x"], "init", AGENT_KEYS]);
  expect(json.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/);
  expect(json).toMatchObject({ created_by: "u1", metadata: {}, idle_timeout_seconds: 300, busy_timeout_seconds: 3600 });
});

test("vector 11 - a page of agents has at most 100", async () => {
  const { status, json } = await u1.get("/agents?limit=1000&_=1700000000000");
  expect([status, json.limit]).toEqual([200, 100]);
  expect(Object.keys(json).sort()).toEqual(["items", "limit", "offset", "page", "pages", "total"]);
});

test("vectors 15, 22 - a post makes the agent busy at once; cancel ends the row and the agent is idle", async () => {
  await u1.makeAgent("worker");
  const posted = await u1.post("/agents/worker/responses", { input: bash("sleep 60") });
  expect([posted.status, posted.json.status]).toEqual([200, "pending"]);
  expect((await u1.get("/agents/worker")).json.state).toBe("busy");
  const cancelled = await u1.post("/agents/worker/cancel");
  expect([cancelled.status, cancelled.json]).toEqual([200, { status: "ok", agent: "worker", cancelled: true }]);
  const { json } = await u1.get(`/agents/worker/responses/${posted.json.id}`);
  expect([json.status, json.segments.at(-1).type]).toEqual(["cancelled", "cancelled"]);
  await u1.awaitState("worker", "idle");
  expect((await u1.post("/agents/worker/cancel")).json.cancelled).toBe(false);
});

test("vectors 17, 18, 19 - a blocking post answers with the end; lists are bare and oldest first; counts", async () => {
  await u1.makeAgent("lister");
  const first = await u1.post("/agents/lister/responses", { input: bash("echo one"), background: false });
  expect([first.status, first.json.status]).toEqual([200, "completed"]);
  expect(first.json.segments.length).toBeGreaterThan(1);
  const second = await u1.run("lister", "echo two");
  const list = await u1.get("/agents/lister/responses");
  const rows = list.json.filter(({ input_content }: { input_content: unknown[] }) => input_content.length > 0);
  expect(rows.map(({ id }: { id: string }) => id)).toEqual([first.json.id, second.id]);
  const count = await u1.get("/agents/lister/responses/count");
  expect(count.json).toEqual({ count: list.json.length, agent_name: "lister" });
});

test("vector 21 - a put of an output result becomes output_content", async () => {
  const { id } = await u1.run("owned", "true");
  const items = [{ type: "text", title: "Y", content: "y" }];
  const output = { items: [{ type: "tool_result", tool: "output", output: { status: "ok", items } }] };
  const { status, json } = await u1.put(`/agents/owned/responses/${id}`, { output });
  expect([status, json.output_content]).toEqual([200, items]);
});

test("vector 23 - sleep without body; a second sleep is refused", async () => {
  await u1.makeAgent("sleeper");
  await u1.awaitState("sleeper", "idle");
  const asked = await plain("POST", "/agents/sleeper/sleep", {});
  expect([asked.status, Object.keys(JSON.parse(asked.text))]).toEqual([200, AGENT_KEYS]);
  await u1.awaitState("sleeper", "slept");
  const again = await u1.post("/agents/sleeper/sleep");
  expect([again.status, again.json]).toEqual([400, { message: "Agent is already sleeping" }]);
});

test("vector 27 - a file's path may have its slashes encoded", async () => {
  await u1.run("owned", "mkdir -p code; printf 'print(1)' > code/a.py");
  const { status, text, headers } = await u1.get("/agents/owned/files/read/code%2Fa.py");
  expect([status, text]).toEqual([200, "print(1)"]);
  expect([headers.get("content-type"), headers.get("x-ractor-file-size")]).toEqual(["text/plain; charset=utf-8", "8"]);
});

describe("vector 30", () => {
  test("vector 30 - a deleted agent is gone with its responses", async () => {
    await u1.makeAgent("short-lived");
    const { id } = await u1.run("short-lived", "true");
    const deleted = await u1.delete("/agents/short-lived");
    expect([deleted.status, deleted.text]).toEqual([200, ""]);
    expect((await u1.get("/agents/short-lived")).status).toBe(404);
    expect((await u1.get(`/responses/${id}`)).json).toEqual({ message: "Response not found" });
  });
});
