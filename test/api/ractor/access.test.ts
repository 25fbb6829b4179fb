import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../../support/service.ts";
import { Api, BARE, bash } from "./api.ts";

const DENIED = "Access denied to this agent";
let service: TestService;
let owner: Api;
let other: Api;
let admin: Api;
let id: string;

beforeAll(async () => {
  service = await startService();
  owner = new Api(service.url, await service.token("owner"));
  other = new Api(service.url, await service.token("other"));
  admin = new Api(service.url, service.adminToken);
  for (const name of ["private", "public"]) await owner.makeAgent(name, { env: { KEY: "hidden" } });
  id = (await owner.run("private", "echo x > file; ln -s .env link")).id;
  await owner.run("public", "mkdir -p content; echo x > file; ln -s .env link; echo page > content/index.html");
  expect((await owner.post("/agents/public/publish", {})).status).toBe(200);
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

/** What a stranger may look at when the agent is published, and never else. */
const SHOWN = [
  "",
  "/runtime",
  "/responses",
  "/responses/count",
  "/files/list",
  "/files/metadata/file",
  "/files/read/file",
];

type Method = "get" | "post" | "put" | "delete";

/** What only the owner and administrators may, with the sentence for those who see the agent. */
const OWNED: readonly (readonly [method: Method, path: string, body: unknown, sentence: string])[] = [
  ["put", "", { tags: ["x"] }, "You can only update your own agents"],
  ["delete", "", undefined, DENIED],
  ["post", "/busy", undefined, DENIED],
  ["post", "/idle", undefined, DENIED],
  ["post", "/sleep", undefined, "Can only sleep your own agents"],
  ["post", "/wake", {}, "You can only wake your own agents."],
  ["post", "/cancel", undefined, "You can only cancel your own agents"],
  ["post", "/publish", {}, "You can only publish your own agents"],
  ["post", "/unpublish", undefined, "You can only unpublish your own agents"],
  ["get", "/details", undefined, DENIED],
  ["get", "/context", undefined, DENIED],
  ["post", "/context/clear", undefined, DENIED],
  ["post", "/context/compact", undefined, DENIED],
  ["post", "/context/usage", { tokens: 1 }, DENIED],
  ["delete", "/files/delete/file", undefined, DENIED],
  ["put", "/files/write/file", undefined, DENIED],
  ["get", "/files/read/.env", undefined, DENIED],
  ["get", "/files/metadata/.env", undefined, DENIED],
  ["put", "/responses/00000000-0000-4000-8000-000000000000", { status: "completed" }, DENIED],
];

test.each(SHOWN)("access - GET %s: a stranger may only when the agent is published", async (path) => {
  const refused = await other.get(`/agents/private${path}`);
  expect([refused.status, refused.json]).toEqual([403, { message: DENIED }]);
  expect((await other.get(`/agents/public${path}`)).status).toBe(200);
  for (const api of [owner, admin]) expect((await api.get(`/agents/private${path}`)).status).toBe(200);
});

test.each(OWNED)("access - %s %s is for the owner, published or not", async (method, path, body, sentence) => {
  const ask = (name: string) =>
    method === "get" || method === "delete"
      ? other[method](`/agents/${name}${path}`)
      : other[method](`/agents/${name}${path}`, body);
  const hidden = await ask("private");
  expect([hidden.status, hidden.json]).toEqual([403, { message: DENIED }]);
  const shown = await ask("public");
  expect([shown.status, shown.json]).toEqual([403, { message: sentence }]);
});

test("access - state is set by whoever made the agent, and by nobody else", async () => {
  const message = "Agent not found or access denied";
  const set = (api: Api, name: string) => api.put(`/agents/${name}/state`, { state: "idle" });
  expect((await set(other, "private")).json).toEqual({ message: DENIED });
  for (const api of [other, admin]) {
    const { status, json } = await set(api, "public");
    expect([status, json]).toEqual([404, { message }]);
  }
  expect((await set(owner, "public")).json).toEqual({ success: true, state: "idle" });
  expect((await owner.put("/agents/public/state", { state: "odd" })).status).toBe(422);
});

test("access - responses are read and posted by those who see the agent; one of another agent is not found", async () => {
  const post = (api: Api, name: string) => api.post(`/agents/${name}/responses`, { input: bash("true") });
  for (const reply of [
    await post(other, "private"),
    await other.get(`/agents/private/responses/${id}`),
    await other.get(`/agents/private/responses/${id}/events`),
    await other.post(`/agents/private/responses/${id}/cancel`),
    await other.get(`/responses/${id}`),
  ])
    expect([reply.status, reply.json]).toEqual([403, { message: DENIED }]);
  const posted = await post(other, "public");
  expect(posted.status).toBe(200);
  expect((await other.awaitEnded("public", posted.json.id)).status).toBe("completed");
  expect((await other.get(`/responses/${posted.json.id}`)).status).toBe(200);
  for (const api of [owner, admin]) expect((await api.get(`/responses/${id}`)).json.id).toBe(id);
  expect((await owner.get(`/agents/public/responses/${id}`)).json).toEqual({ message: "Response not found" });
  expect((await owner.get("/agents/public/responses/not-an-id")).json).toEqual({ message: "Response not found" });
});

test("access - one cancels one's own response on a published agent, and not another's", async () => {
  const slow = { input: bash("sleep 60") };
  const mine = (await other.post("/agents/public/responses", slow)).json.id;
  const theirs = (await owner.post("/agents/public/responses", slow)).json.id;
  const refused = await other.post(`/agents/public/responses/${theirs}/cancel`);
  expect([refused.status, refused.json]).toEqual([403, { message: "You can only cancel your own agents" }]);
  expect((await other.post(`/agents/public/responses/${mine}/cancel`)).json.cancelled).toBe(true);
  const { json } = await owner.post(`/agents/public/responses/${theirs}/cancel`);
  expect(json).toEqual({ status: "ok", agent: "public", response: theirs, cancelled: true });
});

test("access - a stranger reads no environment, by no way that the file interface knows", async () => {
  for (const path of [".env", "link", "content%2F..%2F.env", "content/.env", ".ENV"])
    expect((await other.get(`/agents/public/files/read/${path}`)).status).toBeGreaterThanOrEqual(400);
  expect((await other.get("/agents/public/files/read/link")).json).toEqual({ message: DENIED });
  expect((await owner.get("/agents/public/files/read/link")).text).toContain("hidden");
});

test("access - waking is the owner's, also by a post", async () => {
  await owner.makeAgent("dozing");
  await owner.post("/agents/dozing/publish");
  await owner.put("/agents/dozing/state", { state: "slept" });
  await owner.awaitState("dozing", "slept");
  const refused = await other.post("/agents/dozing/responses", { input: bash("true") });
  expect([refused.status, refused.json]).toEqual([403, { message: "You can only wake your own agents." }]);
  expect((await owner.run("dozing", "echo woke")).status).toBe("completed");
});

test("access - lists show one's own agents; administrators see all; the published ones are public", async () => {
  const names = async (api: Api) => (await api.get("/agents")).json.items.map(({ name }: { name: string }) => name);
  expect(await names(other)).toEqual([]);
  expect(await names(owner)).toEqual(expect.arrayContaining(["private", "public"]));
  expect(await names(admin)).toEqual(expect.arrayContaining(["private", "public"]));
  const open = await fetch(`${owner.url}/published/agents`);
  const published = (await open.json()) as { name: string }[];
  expect([open.status, published.map(({ name }) => name)]).toEqual([200, expect.arrayContaining(["public"])]);
  expect(published.some(({ name }) => name === "private")).toBe(false);
  const hidden = await fetch(`${owner.url}/published/agents/private`);
  expect([hidden.status, await hidden.json()]).toEqual([404, { message: "Agent not found or not published" }]);
  expect((await fetch(`${owner.url}/published/agents/public`)).status).toBe(200);
});

test("access - remix needs ownership or a permission of the publisher", async () => {
  const remix = (api: Api, from: string, body: object) => api.post(`/agents/${from}/remix`, { name: "copy", ...body });
  const sentence = "You can only remix your own agents or published agents";
  expect((await remix(other, "private", {})).json).toEqual({ message: sentence });
  expect((await remix(other, "public", { code: 1 })).status).toBe(422);
  await owner.post("/agents/public/publish", { code: false, env: false });
  expect((await remix(other, "public", {})).json).toEqual({
    message: "Code remix not permitted for this published agent",
  });
  expect((await remix(other, "public", { code: false, env: true })).json).toEqual({
    message: "Environment remix not permitted for this published agent",
  });
  const made = await remix(other, "public", { code: false, env: false });
  expect([made.status, made.json.created_by, made.json.parent_agent_name]).toEqual([200, "other", "public"]);
});

test("access - publishing shares the environment only when asked to, says what it shares, and a remix takes what is shared", async () => {
  const env = { TOKEN: "the owner's" };
  expect((await owner.post("/agents", { name: "keyed", metadata: BARE, env })).status).toBe(200);
  const published = await owner.post("/agents/keyed/publish", {});
  expect(published.json.publish_permissions).toEqual({ code: true, env: false, content: true });
  expect(published.headers.get("x-paddock-shared")).toBe("content, code");
  const envOf = async (name: string) => (await service.service.store.findAgent(name))?.settings.env;
  expect((await other.post("/agents/keyed/remix", { name: "keyed-plain" })).status).toBe(200);
  expect(await envOf("keyed-plain")).toEqual({});
  const refused = await other.post("/agents/keyed/remix", { name: "keyed-copy", env: true });
  expect([refused.status, refused.json.message]).toEqual([
    403,
    "Environment remix not permitted for this published agent",
  ]);
  const shared = await owner.post("/agents/keyed/publish", { env: true });
  expect(shared.headers.get("x-paddock-shared")).toBe("content, code, env");
  expect((await other.post("/agents/keyed/remix", { name: "keyed-copy" })).status).toBe(200);
  expect(await envOf("keyed-copy")).toEqual(env);
  expect((await owner.post("/agents/keyed/unpublish")).status).toBe(200);
  // Its owner's own copies are whole.
  expect((await owner.post("/agents/keyed/remix", { name: "keyed-own" })).status).toBe(200);
  expect(await envOf("keyed-own")).toEqual(env);
});

test("access - a read token reads; a token limited to agents reaches and makes only those", async () => {
  const reader = owner.as(await service.token("owner", "read"));
  expect((await reader.get("/agents/private")).status).toBe(200);
  expect((await reader.post("/agents/private/responses", { input: bash("true") })).status).toBe(403);
  expect((await reader.put("/agents/private/files/write/x", "x")).status).toBe(403);
  const issued = await admin.post("/auth/token", { principal: "owner", type: "User", agents: ["private", "later"] });
  const limited = owner.as(issued.json.token);
  expect((await limited.get("/agents/private")).status).toBe(200);
  for (const path of ["/agents/public", "/agents/public/responses"])
    expect((await limited.get(path)).json).toEqual({ message: DENIED });
  const list = (await limited.get("/agents")).json;
  expect([list.total, list.items[0].name]).toEqual([1, "private"]);
  expect((await limited.post("/agents", { name: "others", metadata: BARE })).json).toEqual({ message: DENIED });
  expect((await limited.post("/agents/private/remix", { name: "others" })).json).toEqual({ message: DENIED });
  expect((await limited.post("/agents", { name: "later", metadata: BARE })).status).toBe(200);
  expect((await limited.get(`/responses/${id}`)).status).toBe(200);
});
