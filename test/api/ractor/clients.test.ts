import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../../support/service.ts";
import type { Json } from "./api.ts";

/**
 * Each test speaks like one public client of this generation (section 9 of the contract), with that client's own wire
 * code: what it sends, what it reads, and nothing that it would not do.
 */
let service: TestService;
let base: string;
let token: string;

beforeAll(async () => {
  service = await startService();
  base = `${service.url}/api/v0`;
  token = await service.token("client");
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

const bearer = () => ({ Authorization: `Bearer ${token}` });
const json = () => ({ ...bearer(), "Content-Type": "application/json" });
const metadata = { bare: true, node_type: "python" };
const fenced = (source: string) => `Please run this:\n\n\`\`\`python\n${source}\n\`\`\`\n`;
const text = (source: string) => ({ content: [{ type: "text", content: fenced(source) }] });

async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = json(),
): Promise<Json> {
  const reply = await fetch(base + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!reply.ok) throw Object.assign(new Error(await reply.text()), { status: reply.status });
  return await reply.json();
}

test("GitHex, UniTest - find by tag, post right after create, poll by id alone, read output and commentary", async () => {
  const created = await ask("POST", "/agents", { name: "githex-1", tags: ["Owner/Repo.js"], metadata });
  expect(created.state).toBe("init");
  const posted = await ask("POST", "/agents/githex-1/responses", { input: text("print(6 * 7)"), background: true });
  const found = await ask("GET", "/agents?tags=owner%2Frepo.js&limit=1");
  expect(found.items[0].name).toBe("githex-1");
  let row: Json;
  do {
    await sleep(25);
    row = await ask("GET", `/responses/${posted.id}`);
  } while (!["completed", "failed", "cancelled"].includes(row.status.toLowerCase()));
  expect(row.status).toBe("completed");
  for (const item of row.output_content) expect(Object.keys(item)).toEqual(["type", "title", "content"]);
  expect(row.output_content[0]).toMatchObject({ type: "text", content: expect.stringContaining("42") });
  const call = row.segments.find(({ type }: Json) => type === "tool_call");
  expect(call.args.commentary).toEqual(expect.any(String));
  const said = row.segments.filter(({ type }: Json) => type === "commentary").at(-1);
  expect(said.text).toContain("42");
  const { count } = await ask("GET", "/agents/githex-1/responses/count");
  const newest = await ask("GET", `/agents/githex-1/responses?limit=1&offset=${count - 1}`);
  expect(newest[0].id).toBe(posted.id);
});

test("AskRepo - 404 means create; env, prompt and time-outs are taken; then 200", async () => {
  const look = () => fetch(`${base}/agents/askrepo-1`, { headers: bearer() }).then(({ status }) => status);
  expect(await look()).toBe(404);
  const body = {
    name: "askrepo-1",
    env: { REPO_URL: "https://example.org/a b;c'\"$d" },
    prompt: fenced("import os; print(os.environ['REPO_URL'])"),
    idle_timeout_seconds: 900,
    busy_timeout_seconds: 1800,
    metadata,
  };
  const created = await ask("POST", "/agents", body);
  expect([created.idle_timeout_seconds, created.busy_timeout_seconds]).toEqual([900, 1800]);
  expect(await look()).toBe(200);
  let row: Json;
  do {
    await sleep(25);
    [row] = (await ask("GET", "/agents/askrepo-1/responses")).filter(({ input_content }: Json) => input_content.length);
  } while (row.status !== "completed" && row.status !== "failed");
  expect(row.output_content[0].content).toContain(body.env.REPO_URL);
});

test("stock-report app - remix, 409 then GET, wake without a body, poll until there is something, newest by limit", async () => {
  await ask("POST", "/agents", { name: "stock-base", metadata });
  const remix = { name: "stock-copy", code: true, env: true, content: true };
  expect((await ask("POST", "/agents/stock-base/remix", remix)).parent_agent_name).toBe("stock-base");
  const again = ask("POST", "/agents/stock-base/remix", remix);
  await expect(again).rejects.toMatchObject({ status: 409 });
  expect((await ask("GET", "/agents/stock-copy")).name).toBe("stock-copy");
  const woken = await fetch(`${base}/agents/stock-copy/wake`, { method: "POST", headers: json() });
  expect([200, 400]).toContain(woken.status);
  const posted = await ask("POST", "/agents/stock-copy/responses", {
    input: text("print('report')"),
    background: true,
  });
  let row: Json;
  do {
    await sleep(25);
    row = await ask("GET", `/agents/stock-copy/responses/${posted.id}`);
  } while (row.segments.length === 0 || row.output_content.length === 0);
  expect(row.status).toBe("completed");
  const rows = await ask("GET", "/agents/stock-copy/responses?limit=5");
  expect(rows[0]).toHaveProperty("segments");
});

test("chat app - a blocking post answers with a text item, and nothing makes it post again", async () => {
  await ask("POST", "/agents", { name: "chat-1", metadata });
  let posts = 0;
  for (;;) {
    posts++;
    const body = JSON.stringify({ input: text("print('hello')"), background: false });
    const reply = await fetch(`${base}/agents/chat-1/responses`, { method: "POST", headers: json(), body });
    if (!reply.ok) continue;
    const row = (await reply.json()) as Json;
    const items = row.output_content.filter(({ type }: Json) => type === "text");
    const said = items.at(-1)?.content ?? row.segments.findLast(({ text }: Json) => text)?.text;
    expect(said).toContain("hello");
    break;
  }
  expect(posts).toBe(1);
});

test("RemoteAgentClient, old - input.text, the row found in a list of 1000, output.text and output.items", async () => {
  await ask("POST", "/agents", { name: "remote-old", metadata });
  const posted = await ask("POST", "/agents/remote-old/responses", { input: { text: fenced("print('old')") } });
  expect(posted.input_content).toEqual([{ type: "text", content: fenced("print('old')") }]);
  let row: Json;
  do {
    await sleep(25);
    row = (await ask("GET", "/agents/remote-old/responses?limit=1000")).find(({ id }: Json) => id === posted.id);
  } while (row?.status !== "completed");
  expect(row.output.text).toContain("old");
  expect(row.output.items.find(({ type }: Json) => type === "final").text).toContain("old");
});

test("RemoteAgentClient, new - input.content, GET by id where any error means again, empty bodies refused", async () => {
  await ask("POST", "/agents", { name: "remote-new", metadata });
  const posted = await ask("POST", "/agents/remote-new/responses", { input: text("print('new')") });
  let row: Json;
  do {
    await sleep(25);
    row = await ask("GET", `/agents/remote-new/responses/${posted.id}`).catch(() => undefined);
  } while (row?.status !== "completed");
  expect(JSON.stringify(row.output_content)).toContain("new");
  for (const path of ["wake", "sleep", "publish", "cancel"]) {
    const reply = await fetch(`${base}/agents/remote-new/${path}`, { method: "POST", headers: bearer() });
    expect([path, (await reply.text()) !== ""]).toEqual([path, true]);
  }
});

test("Raworc MCP server - JSON only by Content-Type, `secrets`, encoded paths, only the given keys", async () => {
  const call = async (method: string, path: string, body?: object): Promise<Json> => {
    const reply = await fetch(base + path, {
      method,
      headers: body === undefined ? bearer() : json(),
      signal: AbortSignal.timeout(30_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const isJson = reply.headers.get("content-type")?.includes("application/json") ?? false;
    return isJson ? await reply.json() : await reply.text();
  };
  const created = await call("POST", "/agents", { name: "mcp-1", secrets: { API_KEY: "k1" }, metadata });
  expect(created.name).toBe("mcp-1");
  const source =
    "import os; os.makedirs('code/x', exist_ok=True); open('code/x/key.txt', 'w').write(os.environ['API_KEY'])";
  const row = await call("POST", "/agents/mcp-1/responses", { input: text(source), background: false });
  expect(row.status).toBe("completed");
  expect(await call("GET", "/agents/mcp-1/files/read/code%2Fx%2Fkey.txt")).toBe("k1");
  expect((await call("GET", "/agents/mcp-1/files/list/code%2Fx")).entries[0].name).toBe("key.txt");
  expect((await call("PUT", "/agents/mcp-1", { description: "only this" })).description).toBe("only this");
  expect((await call("POST", "/agents/mcp-1/publish", { secrets: false })).publish_permissions.env).toBe(false);
  expect(await call("DELETE", "/agents/mcp-1")).toBe("");
});

test("operator UI - `_=` on every GET, Content-Type on every request, JSON everywhere, 401 logs out", async () => {
  const headers = json();
  const get = (path: string) => fetch(`${base}${path}${path.includes("?") ? "&" : "?"}_=${Date.now()}`, { headers });
  await ask("POST", "/agents", { name: "ui-1", metadata });
  for (const path of ["/agents?limit=30&page=1&q=&tags=&state=", "/agents/ui-1", "/agents/ui-1/responses?limit=200"]) {
    const reply = await get(path);
    expect([path, reply.status, reply.headers.get("content-type")]).toEqual([
      path,
      200,
      expect.stringContaining("application/json"),
    ]);
    await reply.json();
  }
  for (const path of ["/context", "/runtime", "/files/list"])
    expect((await get(`/agents/ui-1${path}`)).status).toBe(200);
  for (const [method, path] of [
    ["POST", "/context/clear"],
    ["POST", "/cancel"],
    ["POST", "/publish"],
    ["POST", "/unpublish"],
    ["POST", "/sleep"],
    ["DELETE", ""],
  ]) {
    const reply = await fetch(`${base}/agents/ui-1${path}`, { method: String(method), headers });
    expect([path, reply.status]).toEqual([path, 200]);
  }
  const loggedOut = await fetch(`${base}/auth`, { headers: { ...headers, Authorization: "Bearer old" } });
  expect([loggedOut.status, await loggedOut.json()]).toEqual([401, { message: "Unauthorized" }]);
});

test("in-container ractor-agent - reports, counts, lists the last 50, puts segments, publishes, sleeps", async () => {
  await ask("POST", "/agents", { name: "inside-1", metadata });
  const agent = await ask("GET", "/agents/inside-1");
  expect(Number.isNaN(Date.parse(agent.created_at))).toBe(false);
  const report = (path: string) =>
    fetch(`${base}/agents/inside-1${path}`, { method: "POST", headers: bearer() }).then(
      async (reply) => (await reply.json()) as Json,
    );
  expect(await report("/busy")).toEqual({ success: true, state: "busy", timeout_status: "paused" });
  expect(await report("/idle")).toEqual({ success: true, state: "idle", timeout_status: "active" });
  const usage = await ask("POST", "/agents/inside-1/context/usage", { tokens: 1234 });
  expect(usage).toEqual({ success: true, last_context_length: 1234 });
  const { id } = await ask("POST", "/agents/inside-1/responses", { input: text("import time; time.sleep(60)") });
  const { count } = await ask("GET", "/agents/inside-1/responses/count");
  const rows = await ask("GET", `/agents/inside-1/responses?limit=50&offset=${Math.max(0, count - 50)}`);
  const pending = rows.find((row: Json) => row.id === id);
  expect([pending.status, Number.isNaN(Date.parse(pending.created_at))]).toEqual([
    expect.stringMatching(/pending|processing/),
    false,
  ]);
  const items = [{ type: "commentary", channel: "analysis", text: "thinking" }];
  const put = await ask("PUT", `/agents/inside-1/responses/${id}`, { status: "processing", output: { items } });
  expect(put.segments).toEqual(expect.arrayContaining(items));
  const ended = await ask("PUT", `/agents/inside-1/responses/${id}`, { status: "completed", output: { text: "" } });
  expect(ended.status).toBe("completed");
  expect((await report("/publish")).is_published).toBe(true);
  const slept = await ask("POST", "/agents/inside-1/sleep", { delay_seconds: 5, note: "done" });
  expect(slept.name).toBe("inside-1");
});
