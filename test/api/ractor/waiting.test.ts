import { request as openRequest } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../../support/service.ts";
import { Api, bash } from "./api.ts";

let service: TestService;
let api: Api;

beforeAll(async () => {
  service = await startService();
  api = new Api(service.url, await service.token("u1"));
  await api.makeAgent("waiter");
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

const responses = "/agents/waiter/responses";
/** Waits for a file that the test makes, so that nothing depends on time. */
const until = (file: string) => bash(`until [ -e ${file} ]; do sleep 0.02; done; echo released`);
const release = (file: string) => api.put(`/agents/waiter/files/write/${file}`, "");

test("blocking post - head, id and a white-space byte come at once, the object when the task ends", async () => {
  const body = JSON.stringify({ input: until("go-1"), background: false });
  const headers = { authorization: `Bearer ${api.token}`, "content-type": "application/json" };
  const reply = await fetch(api.url + responses, { method: "POST", headers, body });
  const id = reply.headers.get("x-paddock-response-id");
  const reader = reply.body?.getReader();
  const first = Buffer.from((await reader?.read())?.value ?? []).toString();
  expect([reply.status, first.trim()]).toEqual([200, ""]);
  expect((await api.get(`${responses}/${id}`)).json.status).toMatch(/pending|processing/);
  await release("go-1");
  let text = "";
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read())
    text += Buffer.from(part.value).toString();
  expect(JSON.parse(text)).toMatchObject({ id, status: "completed" });
});

test.each([
  ["wait_seconds", { wait_seconds: 0.2 }, {}],
  ["Prefer: wait", {}, { prefer: "respond-async, wait=0" }],
])("blocking post - %s ends the waiting, and the task goes on", async (_name, body, headers) => {
  const posted = await api.post(responses, { input: until("go-2"), background: false, ...body }, { headers });
  expect([posted.status, posted.json.status]).toEqual([200, expect.stringMatching(/pending|processing/)]);
  await release("go-2");
  expect((await api.awaitEnded("waiter", posted.json.id)).status).toBe("completed");
  await api.delete("/agents/waiter/files/delete/go-2");
});

test("blocking post - the task goes on when its client leaves", async () => {
  const body = JSON.stringify({ input: until("go-3"), background: false });
  const headers = { authorization: `Bearer ${api.token}`, "content-type": "application/json" };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const request = openRequest(api.url + responses, { method: "POST", headers }, (reply) => {
    reply.on("error", () => undefined);
    resolve(String(reply.headers["x-paddock-response-id"]));
    reply.destroy();
  });
  request.on("error", reject).end(body);
  const id = await promise;
  await release("go-3");
  expect((await api.awaitEnded("waiter", id)).status).toBe("completed");
});

test("blocking post - a refused post has its own status", async () => {
  const missing = await api.post("/agents/nope/responses", { input: "x", background: false });
  expect([missing.status, missing.json]).toEqual([404, { message: "Agent not found" }]);
});

test("blocking post - whoever waits for a deleted agent is told", async () => {
  await api.makeAgent("doomed");
  const waiting = api.post("/agents/doomed/responses", { input: bash("sleep 60"), background: false });
  await api.awaitState("doomed", "busy");
  await api.delete("/agents/doomed");
  expect((await waiting).json).toMatchObject({ status: "cancelled", agent_name: "doomed" });
});

test("post - a second task queues; with if_busy it is refused as old servers do", async () => {
  const first = await api.post(responses, { input: until("go-4") });
  const refused = await api.post(responses, { input: bash("true"), if_busy: "refuse" });
  expect([refused.status, refused.json]).toEqual([409, { message: "Agent is busy" }]);
  const queued = await api.post(responses, { input: bash("echo second") });
  expect([queued.status, queued.json.status]).toEqual([200, "pending"]);
  await release("go-4");
  const ended = [await api.awaitEnded("waiter", first.json.id), await api.awaitEnded("waiter", queued.json.id)];
  expect(ended.map(({ status }) => status)).toEqual(["completed", "completed"]);
  expect(ended[0].finished_at <= ended[1].started_at).toBe(true);
});

test("post - timeout_seconds fails the response with code, message and hint", async () => {
  const posted = await api.post(responses, { input: bash("sleep 60"), timeout_seconds: 0.3, background: false });
  expect(posted.json).toMatchObject({ status: "failed", error: { code: "timeout", retryable: true }, attempts: 1 });
  expect(posted.json.error.hint).not.toBe("");
  expect(posted.json.finished_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("polling - an ETag spares what is known; a wait is held until something changes", async () => {
  const { id } = (await api.post(responses, { input: until("go-5") })).json;
  const path = `${responses}/${id}`;
  let seen = await api.get(path);
  for (; seen.json.status === "pending"; ) {
    const next = await api.get(`${path}?wait=30`, { headers: { "if-none-match": String(seen.headers.get("etag")) } });
    if (next.status === 200) seen = next;
  }
  // Its first segment may come after its status.
  for (;;) {
    const etag = String(seen.headers.get("etag"));
    const next = await api.get(`${path}?wait=0.3`, { headers: { "if-none-match": etag } });
    if (next.status === 304) {
      expect([next.text, next.headers.get("etag")]).toEqual(["", etag]);
      break;
    }
    seen = next;
  }
  const held = api.get(`${path}?wait=60`, { headers: { "if-none-match": String(seen.headers.get("etag")) } });
  await release("go-5");
  expect((await held).json.segments.length).toBeGreaterThan(seen.json.segments.length);
  const ended = await api.awaitEnded("waiter", id);
  expect(ended.status).toBe("completed");
  const whole = await api.get(path);
  const again = await api.get(`${path}?wait=60`, {
    headers: { "if-none-match": `"x", W/${whole.headers.get("etag")}` },
  });
  expect(again.status).toBe(304);
  expect((await api.get(`${path}?wait=0.05&_=1`)).status).toBe(200);
  expect((await api.get(`${path}?wait=soon`)).status).toBe(400);
});

test("lists - order, status, limit and offset; a long list comes in parts and whole", async () => {
  await api.makeAgent("long");
  const ids: string[] = [];
  for (let number = 0; number < 60; number++)
    ids.push((await api.post("/agents/long/responses", { input: bash("true") })).json.id);
  await api.awaitEnded("long", ids[59] ?? "");
  const list = async (query: string) =>
    (await api.get(`/agents/long/responses${query}`)).json
      .map(({ id }: { id: string }) => id)
      .filter((id: string) => ids.includes(id));
  expect(await list("")).toEqual(ids);
  expect(await list("?order=desc")).toEqual(ids.toReversed());
  expect(await list("?status=completed&limit=1000")).toEqual(ids);
  expect(await list("?status=failed")).toEqual([]);
  const { count } = (await api.get("/agents/long/responses/count")).json;
  expect(await list(`?limit=3&offset=${count - 3}&_=17`)).toEqual(ids.slice(-3));
  expect(await list("?limit=0")).toEqual([]);
  for (const query of ["?limit=-1", "?limit=x", "?order=odd", "?status=odd", "?limit=1&limit=2"])
    expect((await api.get(`/agents/long/responses${query}`)).status).toBe(400);
});

test("idempotency - a repeated post is the same response; another body under the key is refused", async () => {
  const headers = { "idempotency-key": "post-1" };
  const first = await api.post(responses, { input: bash("echo once >> once") }, { headers });
  const second = await api.post(responses, { input: bash("echo once >> once"), background: false }, { headers });
  expect([second.json.id, second.headers.get("idempotency-replayed")]).toEqual([first.json.id, "true"]);
  expect((await api.get("/agents/waiter/files/read/once")).text).toBe("once\n");
  const other = await api.post(responses, { input: bash("echo other") }, { headers });
  expect(other.status).toBe(409);
  const stranger = api.as(await service.token("u2"));
  await stranger.makeAgent("theirs");
  const theirs = await stranger.post("/agents/theirs/responses", { input: bash("true") }, { headers });
  expect([theirs.status, theirs.json.id === first.json.id]).toEqual([200, false]);
  for (const key of ["", "x".repeat(256), "a\tb"])
    expect((await api.post(responses, { input: "x" }, { headers: { "idempotency-key": key } })).status).toBe(400);
});

test("idempotency - a repeated create is the same agent; without a key the name is taken", async () => {
  const headers = { "idempotency-key": "create-1" };
  const body = { name: "Twice", metadata: { bare: true } };
  const first = await api.post("/agents", body, { headers });
  const second = await api.post("/agents", body, { headers });
  expect([second.status, second.json.created_at]).toEqual([200, first.json.created_at]);
  const taken = await api.post("/agents", { ...body, name: "tWICE" });
  expect([taken.status, taken.json]).toEqual([
    409,
    { message: "Agent name 'tWICE' already exists. Choose a different name." },
  ]);
});
