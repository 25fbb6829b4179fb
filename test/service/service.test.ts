import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { makeServiceRoot, startService, type TestService } from "../support/service.ts";

const roots: string[] = [];

function makeRoot(): string {
  const root = makeServiceRoot();
  roots.push(root);
  return root;
}

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

interface Task {
  readonly id: string;
  readonly status: string;
  readonly error?: { readonly code: string } | null;
}

class Client {
  readonly #service: TestService;
  readonly #token: string;

  constructor(service: TestService, token: string) {
    this.#service = service;
    this.#token = token;
  }

  async ask(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; headers: Headers; body: unknown }> {
    const response = await fetch(`${this.#service.url}/api/v0${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === "" ? "" : JSON.parse(text) };
  }

  async makeAgent(name: string): Promise<void> {
    expect((await this.ask("POST", "/agents", { name, metadata: { bare: true } })).status).toBe(200);
  }

  async post(agent: string, code: string, more = {}): Promise<Task> {
    const input = { content: [{ type: "python", content: code }] };
    const { status, body } = await this.ask("POST", `/agents/${agent}/responses`, { input, ...more });
    expect(status).toBe(200);
    return body as Task;
  }

  async get(id: string): Promise<Task> {
    return (await this.ask("GET", `/responses/${id}`)).body as Task;
  }

  /** Until the task has printed `word`. */
  async saw(agent: string, id: string, word: string): Promise<void> {
    const controller = new AbortController();
    const response = await fetch(`${this.#service.url}/api/v0/agents/${agent}/responses/${id}/events`, {
      headers: { authorization: `Bearer ${this.#token}` },
      signal: controller.signal,
    });
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString();
      if (text.includes(word)) break;
    }
    controller.abort();
    expect(text).toContain(word);
  }
}

const RUNS_FOR_LONG = "import time\nprint('go' + 'ing', flush=True)\ntime.sleep(600)";

test("service - a data folder has its id, one server, and a database that nobody else can read", async () => {
  const root = makeRoot();
  await using first = await startService({ root });
  const { state } = first.app.config.home;
  expect(readFileSync(join(state, "node-id"), "utf8").trim()).toBe(first.service.nodeId);
  expect(statSync(state).mode & 0o777).toBe(0o700);
  expect(statSync(join(state, "paddock.db")).mode & 0o077).toBe(0);
  await expect(startService({ root })).rejects.toMatchObject({
    code: "invalid_config",
    message: expect.stringContaining(`another server (pid ${process.pid}) has the data folder ${root}`),
  });
  expect((await fetch(`${first.url}/health`)).status).toBe(200);
});

test("service - a lock that a dead server left is taken over, and what was acknowledged is there", async () => {
  const root = makeRoot();
  const first = await startService({ root });
  const token = await first.token("u1");
  const client = new Client(first, token);
  await client.makeAgent("kept");
  const task = await client.post("kept", "print(1)", { background: false });
  expect(task.status).toBe("completed");
  const lock = join(first.app.config.home.state, "server.lock");
  await first[Symbol.asyncDispose]();
  expect(existsSync(lock)).toBe(false);
  writeFileSync(lock, JSON.stringify({ pid: 2 ** 22 - 1, startedAt: 1 }));
  await using second = await startService({ root });
  expect(second.service.nodeId).toBe(first.service.nodeId);
  const again = new Client(second, token);
  expect((await again.get(task.id)).status).toBe("completed");
  expect((await again.ask("GET", "/agents/kept")).body).toMatchObject({ name: "kept", state: "slept" });
});

test("service - a later start shows no admin token unless it is asked to", async () => {
  const root = makeRoot();
  const first = await startService({ root, renewAdminToken: false });
  expect(first.adminToken).toMatch(/^pdk_/);
  await first[Symbol.asyncDispose]();
  const second = await startService({ root, renewAdminToken: false });
  expect(second.adminToken).toBe("");
  const response = await fetch(`${second.url}/api/v0/auth`, {
    headers: { authorization: `Bearer ${first.adminToken}` },
  });
  expect(response.status).toBe(200);
  await second[Symbol.asyncDispose]();
});

test("service - a damaged id stops the start, and a port in use is named; nothing is held then", async () => {
  const root = makeRoot();
  const blocker = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => blocker.once("listening", resolve));
  const { port } = blocker.address() as { port: number };
  await expect(startService({ root, service: { port } })).rejects.toMatchObject({
    code: "invalid_config",
    message: `127.0.0.1:${port} is in use by another program`,
  });
  blocker.close();
  const running = await startService({ root, renewAdminToken: false });
  expect(running.adminToken, "the failed start took no token with it").toMatch(/^pdk_/);
  const file = join(running.app.config.home.state, "node-id");
  await running[Symbol.asyncDispose]();
  writeFileSync(file, "something else\n");
  await expect(startService({ root })).rejects.toMatchObject({ code: "invalid_config" });
  expect(existsSync(join(running.app.config.home.state, "server.lock"))).toBe(false);
});

test("service - draining: what runs ends, nothing new is taken, answers say that the connection closes", async () => {
  await using service = await startService();
  const client = new Client(service, await service.token("u1"));
  await client.makeAgent("worker");
  const wait =
    "import os,time\nprint('go' + 'ing', flush=True)\nwhile not os.path.exists('/agent/stop'): time.sleep(0.02)";
  const task = await client.post("worker", wait);
  await client.saw("worker", task.id, "going");
  const drained = service.service.drain();
  expect((await fetch(`${service.url}/ready`)).status).toBe(503);
  const refused = await client.ask("POST", "/agents/worker/responses", { input: { content: [] } });
  expect([refused.status, refused.headers.get("retry-after"), refused.headers.get("connection")]).toEqual([
    503,
    "1",
    "close",
  ]);
  expect((await client.get(task.id)).status).toBe("processing");
  const { agents } = service.service;
  const row = await service.service.store.findAgent("worker");
  if (row === undefined) throw new Error("the agent is gone");
  await (await agents.files(row, AbortSignal.timeout(5000))).write("stop", Buffer.from("x"));
  expect(await drained).toEqual({ finished: 1, handedBack: 0 });
  expect((await client.get(task.id)).status).toBe("completed");
});

test("service - what does not end within the grace is handed back: idempotent work runs again, other work is lost", async () => {
  const root = makeRoot();
  const first = await startService({ root, service: { graceMs: 1 } });
  const token = await first.token("u1");
  const client = new Client(first, token);
  const tasks: Task[] = [];
  for (const [name, code, idempotent] of [
    ["lost", RUNS_FOR_LONG, false],
    [
      "again",
      `import os\nif os.path.exists('/agent/once'): print('second')\nelse:\n open('/agent/once', 'w').close()\n ${RUNS_FOR_LONG.replaceAll("\n", "\n ")}`,
      true,
    ],
  ] as const) {
    await client.makeAgent(name);
    const task = await client.post(name, code, { idempotent });
    await client.saw(name, task.id, "going");
    tasks.push(task);
  }
  expect(await first.service.drain()).toMatchObject({ handedBack: 2 });
  await first[Symbol.asyncDispose]();
  await using second = await startService({ root });
  const later = new Client(second, token);
  const [lost, again] = tasks;
  expect(await later.get(lost?.id ?? "")).toMatchObject({ status: "failed", error: { code: "task_lost" } });
  const ended = await later.ask("GET", `/responses/${again?.id}?wait=60`);
  expect(ended.body).toMatchObject({ status: "completed" });
});

test("service - closing ends streams and waiting requests instead of waiting for them", async () => {
  const service = await startService();
  const client = new Client(service, await service.token("u1"));
  await client.makeAgent("streamed");
  const task = await client.post("streamed", RUNS_FOR_LONG);
  await client.saw("streamed", task.id, "going");
  const waiting = client.ask("GET", `/responses/${task.id}?wait=60`).catch(() => undefined);
  await service[Symbol.asyncDispose]();
  await waiting;
});
