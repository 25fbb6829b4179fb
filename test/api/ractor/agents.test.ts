import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeAgentId, makeVolumeId } from "../../../src/model/ids.ts";
import { LimitsInput } from "../../../src/model/task.ts";
import { startService, type TestService } from "../../support/service.ts";
import { Api, bash, type Json } from "./api.ts";

let service: TestService;
let api: Api;

beforeAll(async () => {
  service = await startService();
  api = new Api(service.url, await service.token("u1"));
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

test.each([
  ["one character", { name: "a" }, "name: "],
  ["a number as name", { name: 1 }, "name: "],
  ["tags null", { name: "ok", tags: null }, "tags: "],
  ["an empty tag", { name: "ok", tags: [" "] }, "tags.0: "],
  ["a tag with a space", { name: "ok", tags: ["a b"] }, "tags.0: "],
  ["env with a number", { name: "ok", env: { A: 1 } }, "env.A: "],
  ["a time-out of 0", { name: "ok", idle_timeout_seconds: 0 }, "idle_timeout_seconds: "],
  ["a time-out of a week and a second", { name: "ok", busy_timeout_seconds: 604_801 }, "busy_timeout_seconds: "],
  ["a time-out as text", { name: "ok", idle_timeout_seconds: "5" }, "idle_timeout_seconds: "],
  ["half a second", { name: "ok", idle_timeout_seconds: 0.5 }, "idle_timeout_seconds: "],
  ["a long description, for lists show it", { name: "ok", description: "x".repeat(16_385) }, "description: "],
  ["large metadata", { name: "ok", metadata: { x: "x".repeat(70_000) } }, "metadata: "],
])("create - %s is 422 and names the field", async (_what, body, field) => {
  const { status, text, headers } = await api.post("/agents", body);
  expect([status, headers.get("content-type")]).toEqual([422, "text/plain; charset=utf-8"]);
  expect(text).toContain(`Failed to deserialize the JSON body into the target type: ${field}`);
});

test.each([
  ["memory_bytes", 2 ** 40],
  ["pids", 32_768],
  ["workspace_bytes", 2 ** 40],
  ["tmp_bytes", 2 ** 40],
  ["cpus", 1024],
  ["open_files", 1_048_576],
])("create - more %s than the operator gives is 400", async (field, value) => {
  const { status, json } = await api.post("/agents", { name: "vast", metadata: { limits: { [field]: value } } });
  expect([status, (json as { message: string }).message]).toEqual([
    400,
    expect.stringMatching(new RegExp(`^metadata: limits.${field}: at most `)),
  ]);
});

test("create - unknown keys reach nothing; nulls are defaults; write-only fields never come back", async () => {
  const { json } = await api.post("/agents", {
    name: "plain-1",
    id: "x",
    createdBy: "admin",
    created_by: "admin",
    state: "idle",
    is_published: true,
    nodeId: "other",
    settings: { nodeType: "web" },
    description: null,
    idle_timeout_seconds: 300.0,
    busy_timeout_seconds: null,
    env: { SECRET_VALUE: "s3cr3t" },
    instructions: "be kind",
    setup: null,
    metadata: { bare: true, any: [1, null, { deep: "x" }] },
  });
  expect(json).toMatchObject({ created_by: "u1", state: "init", is_published: false, busy_timeout_seconds: 3600 });
  expect(json.metadata).toEqual({ bare: true, any: [1, null, { deep: "x" }] });
  for (const path of ["", "/details", "/responses"])
    expect((await api.get(`/agents/plain-1${path}`)).text).not.toMatch(/s3cr3t|be kind/);
  expect((await api.get("/agents/PLAIN-1")).json.name).toBe("plain-1");
});

test("list - text, tags of which all must match, state, pages; odd numbers are clamped, bad ones refused", async () => {
  const lister = api.as(await service.token("lister"));
  for (const number of [1, 2, 3])
    await lister.makeAgent(`list-${number}`, { tags: ["Team/a", `n${number}`], description: `The ${number}th ONE` });
  const list = async (query: string) => (await lister.get(`/agents?${query}`)).json;
  const names = async (query: string) => (await list(query)).items.map(({ name }: Json) => name);
  expect((await names("")).toSorted()).toEqual(["list-1", "list-2", "list-3"]);
  expect(await names("q=2TH%20one")).toEqual(["list-2"]);
  expect(await names("tags=TEAM%2Fa,n3")).toEqual(["list-3"]);
  expect(await names("tags=n1,n2")).toEqual([]);
  expect(await names("state=slept&tags[]=n1")).toEqual([]);
  expect(await list("limit=2&page=2")).toMatchObject({ total: 3, limit: 2, offset: 2, page: 2, pages: 2 });
  expect(await list("limit=0&page=0&offset=-1")).toMatchObject({ limit: 1, offset: 0, page: 1 });
  expect(await list("limit=2&page=9&offset=1")).toMatchObject({ offset: 1, page: 1 });
  expect(await list("q=nothing")).toEqual({ items: [], total: 0, limit: 30, offset: 0, page: 1, pages: 1 });
  for (const query of ["limit=x", "tags=a&tags=b", "page=1.5"]) {
    const { status, text } = await lister.get(`/agents?${query}`);
    expect([status, text]).toEqual([400, expect.stringContaining("Failed to deserialize query string: ")]);
  }
});

test("update - given fields change, null and absent ones stay, nothing at all is refused", async () => {
  await api.makeAgent("changing", { description: "first", tags: ["a"] });
  const change = async (body: object) => (await api.put("/agents/changing", body)).json;
  expect(await change({ tags: ["B"], idle_timeout_seconds: 9, description: null })).toMatchObject({
    tags: ["b"],
    idle_timeout_seconds: 9,
    description: "first",
  });
  expect(await change({ metadata: { k: "v" }, description: "second" })).toMatchObject({
    metadata: { k: "v" },
    description: "second",
    tags: ["b"],
  });
  for (const body of [{}, { unknown: 1 }, { tags: null }]) {
    const { status, json } = await api.put("/agents/changing", body);
    expect([status, json]).toEqual([400, { message: "No fields to update" }]);
  }
});

test("states - sleep, wake, runtime and details; what a workspace holds outlives sleep", async () => {
  await api.makeAgent("stately", { setup: "echo prepared > prepared; exit 3" });
  await api.run("stately", "echo kept > kept");
  const notSlept = await api.post("/agents/stately/wake", {});
  expect(notSlept.status).toBe(400);
  expect(notSlept.json.message).toMatch(/^Cannot wake agent in (idle|busy) state - only sleeping agents can be woken$/);
  const details = (await api.get("/agents/stately/details")).json;
  expect(details).toMatchObject({ name: "stately", node_type: "python", bare: true, setup: { exit_code: 3 } });
  expect(Object.keys(details.limits).toSorted()).toEqual(Object.keys(LimitsInput.shape).toSorted());
  expect(LimitsInput.safeParse(details.limits)).toMatchObject({
    success: true,
    data: { tmp_bytes: 256 * 1024 * 1024 },
  });
  await api.awaitState("stately", "idle");
  expect((await api.put("/agents/stately/state", { state: "slept" })).json).toEqual({ success: true, state: "slept" });
  await api.awaitState("stately", "slept");
  expect((await api.get("/agents/stately/details")).json.sandbox_id).toBeNull();
  expect((await api.post("/agents/stately/busy")).json).toEqual({ message: "Agent is sleeping" });
  const runtime = (await api.get("/agents/stately/runtime")).json;
  expect(runtime).toEqual({
    agent_name: "stately",
    total_runtime_seconds: expect.any(Number),
    current_session_seconds: 0,
  });
  const woken = await api.ask("POST", "/agents/stately/wake", { headers: { "content-type": "application/json" } });
  expect([woken.status, woken.json.state]).toEqual([200, "init"]);
  const row = await api.run("stately", "cat kept prepared");
  expect(row.output_content[0].content).toBe("kept\nprepared\n");
  const types = (await api.get("/agents/stately/responses")).json.flatMap(({ segments }: Json) =>
    segments.map(({ type }: Json) => type),
  );
  expect(types).toEqual(expect.arrayContaining(["slept", "woke"]));
});

test("states - a report never makes a state untrue", async () => {
  await api.makeAgent("reported");
  const { id } = (await api.post("/agents/reported/responses", { input: bash("sleep 60") })).json;
  const idle = { success: true, state: "busy", timeout_status: "paused" };
  expect((await api.post("/agents/reported/idle")).json).toEqual(idle);
  expect((await api.put("/agents/reported/state", { state: "idle" })).json).toEqual({ success: true, state: "busy" });
  expect((await api.post(`/agents/reported/responses/${id}/cancel`)).json.cancelled).toBe(true);
  expect((await api.post(`/agents/reported/responses/${id}/cancel`)).json.cancelled).toBe(false);
  await api.awaitState("reported", "idle");
});

test("paths - a name that begins with login is like any other", async () => {
  await api.makeAgent("login-bot");
  const open = await fetch(`${api.url}/agents/login-bot`);
  expect([open.status, await open.json()]).toEqual([401, { message: "Unauthorized" }]);
  expect((await api.get("/agents/login-bot")).json.name).toBe("login-bot");
});

test("publish - permissions have three keys before, while and after", async () => {
  await api.makeAgent("shown");
  const all = { code: true, env: true, content: true };
  expect((await api.get("/agents/shown")).json.publish_permissions).toEqual(all);
  const { json } = await api.post("/agents/shown/publish", { env: false, content: false });
  expect(json).toMatchObject({ is_published: true, published_by: "u1", publish_permissions: { ...all, env: false } });
  expect((await api.post("/agents/shown/unpublish")).json).toMatchObject({
    ...{ is_published: false, published_at: null, published_by: null },
    publish_permissions: all,
  });
});

test("responses - a put after the end adds segments and never another status", async () => {
  await api.makeAgent("amended");
  const { id } = await api.run("amended", "true");
  const path = `/agents/amended/responses/${id}`;
  const again = await api.put(path, { status: "failed" });
  expect([again.status, again.headers.get("x-paddock-code")]).toEqual([409, "task_ended"]);
  const note = { type: "note", level: "info", text: "seen" };
  const { json } = await api.put(path, { output: { items: [note] } });
  expect([json.status, json.segments.at(-1)]).toEqual(["completed", note]);
  expect(json.output_content.length).toBeGreaterThan(0);
  for (const body of [{ status: "timedout" }, { output: { items: [{ no: "type" }] } }, { output: { items: "x" } }])
    expect((await api.put(path, body)).status).toBe(422);
});

test("responses - text without a plan fails with code and hint; a bare string is a text item", async () => {
  await api.makeAgent("talker");
  const { json } = await api.post("/agents/talker/responses", { input: "sing a song", background: false });
  expect(json).toMatchObject({
    status: "failed",
    input_content: [{ type: "text", content: "sing a song" }],
    error: { code: "no_plan", hint: expect.any(String), retryable: false },
  });
  expect(Object.keys(json).slice(0, 8)).toEqual(
    "id agent_name status input_content output_content segments created_at updated_at".split(" "),
  );
});

test("responses - a task goes on with the trace of its post; a broken traceparent begins another", async () => {
  await api.makeAgent("traced");
  const post = async (traceparent: string) => {
    const headers = { traceparent };
    const { json } = await api.post("/agents/traced/responses", { input: bash("true"), idempotent: true }, { headers });
    return (await service.service.store.findResponse(json.id))?.options;
  };
  const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
  expect(await post(traceparent)).toEqual({
    idempotent: true,
    traceparent: expect.stringMatching(`^00-${"ab".repeat(16)}-[0-9a-f]{16}-01$`),
  });
  const broken = (await post(`00-${"0".repeat(32)}-${"cd".repeat(8)}-01`))?.traceparent;
  expect(broken).toMatch(/^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test("openapi - every route of the contract and of ours is described", async () => {
  const reply = await fetch(`${service.url}/openapi.json`);
  const { paths } = (await reply.json()) as Json;
  const agent = "/api/v0/agents/{name}";
  const expected = [
    "/api/v0/agents",
    agent,
    ...["state", "busy", "idle", "sleep", "wake", "cancel", "runtime", "remix", "publish", "unpublish", "details"].map(
      (part) => `${agent}/${part}`,
    ),
    ...["", "/count", "/{id}", "/{id}/cancel", "/{id}/events"].map((part) => `${agent}/responses${part}`),
    ...["", "/clear", "/compact", "/usage"].map((part) => `${agent}/context${part}`),
    ...["/api/v0/responses/{id}", "/api/v0/published/agents", "/api/v0/published/agents/{name}"],
  ];
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(expected));
  expect(Object.keys(paths).filter((path) => path.includes("/files/"))).toHaveLength(6);
});

test("context - the contract's numbers, reported and cleared", async () => {
  await api.makeAgent("context-1");
  await api.post("/agents/context-1/context/usage", { tokens: 64_000 });
  expect((await api.get("/agents/context-1/context")).json).toEqual({
    agent: "context-1",
    soft_limit_tokens: 128_000,
    used_tokens_estimated: 64_000,
    used_percent: 50,
    basis: "ollama_last_context_length",
    cutoff_at: null,
    measured_at: expect.stringMatching(/\+00:00$/),
    total_messages_considered: 0,
  });
  await api.post("/agents/context-1/context/usage", { tokens: 128_000 });
  const refused = await api.post("/agents/context-1/responses", { input: bash("true") });
  const message =
    "Context is full (128000 / 128000 tokens). Clear context via POST /api/v0/agents/context-1/context/clear and try again.";
  expect([refused.status, refused.json]).toEqual([409, { message }]);
  for (const kind of ["clear", "compact"]) {
    const { json } = await api.post(`/agents/context-1/context/${kind}`);
    expect(json).toMatchObject({ used_tokens_estimated: 0, used_percent: 0, cutoff_at: expect.any(String) });
  }
  expect((await api.get("/agents/context-1")).json.last_context_length).toBe(0);
  expect((await api.run("context-1", "true")).status).toBe("completed");
});

test("another server's agent - it is read here; what changes it or needs its sandbox names that server", async () => {
  const { store } = service.service;
  await api.makeAgent("here");
  const made = await store.findAgent("here");
  if (made === undefined) throw new Error("no agent");
  await store.beginReign("another-server", "http://another.example:9000");
  const row = { ...made, id: makeAgentId(), volumeId: makeVolumeId(), name: "elsewhere", nodeId: "another-server" };
  const { agent } = await store.insertAgent(row);
  const id = randomUUID();
  await store.insertMarker(agent.id, id, [{ type: "woke" }]);
  for (const path of ["", "/responses", `/responses/${id}`, "/runtime"])
    expect([path, (await api.get(`/agents/elsewhere${path}`)).status]).toEqual([path, 200]);
  for (const reply of [
    await api.post("/agents/elsewhere/responses", { input: bash("true") }),
    await api.put("/agents/elsewhere", { tags: [] }),
    await api.get("/agents/elsewhere/files/list"),
    await api.get(`/agents/elsewhere/responses/${id}/events`),
    await api.delete("/agents/elsewhere"),
  ]) {
    expect([reply.status, reply.headers.get("x-paddock-code")]).toEqual([421, "wrong_node"]);
    expect(reply.json.message).toContain("http://another.example:9000");
  }
});
