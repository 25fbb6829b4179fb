import { expect, test } from "vitest";
import { findTask, sendTask } from "../../src/client/ractor/post.ts";
import { awaitResponse } from "../../src/client/ractor/response-wait.ts";
import type { PaddockError } from "../../src/errors/error.ts";
import { type Quirks, StockServer } from "./stock-server.ts";
import { openClient, QUICK } from "./support.ts";

const RESPONSES = /\/responses$/;
const ask = (text: string) => [{ type: "text", content: `echo ${text}` }];

async function open(quirks: Quirks = {}, times: Partial<typeof QUICK> = {}) {
  const server = await StockServer.start(quirks);
  const agent = server.addAgent("demo");
  const client = openClient(server, times);
  return {
    server,
    agent,
    client,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const failure = async (promise: Promise<unknown>): Promise<PaddockError> =>
  await promise.then(
    () => expect.fail("it succeeded"),
    (error: PaddockError) => error,
  );

test("client wait - a row that appears late is pending, not missing", async () => {
  await using it = await open({ lateRowMs: 250 });
  const row = await sendTask(it.client, "demo", ask("late"));
  const ended = await awaitResponse(it.client, "demo", row.id, { stallMs: 5000 });
  expect(ended.status).toBe("completed");
  expect(it.server.count("GET", new RegExp(row.id))).toBeGreaterThan(1);
});

test("client wait - a row that never appears is lost after the grace period", async () => {
  await using it = await open({ lateRowMs: 1e9 }, { graceMs: 150 });
  const row = await sendTask(it.client, "demo", ask("never"));
  const error = await failure(awaitResponse(it.client, "demo", row.id, { stallMs: 60_000 }));
  expect(error).toMatchObject({ code: "remote_failed", context: { kind: "lost" } });
  expect(it.server.count("POST", /cancel$/)).toBeGreaterThan(0);
});

test("client wait - gateway pages, cut, broken and slow answers to a poll are waited out", async () => {
  await using it = await open({ thinkMs: 100 }, { requestMs: 300 });
  const row = await sendTask(it.client, "demo", ask("through"));
  it.server.quirks.get = ["html502", "cut", "broken", "slow", "html504"];
  const ended = await awaitResponse(it.client, "demo", row.id, { stallMs: 10_000 });
  expect(ended.status).toBe("completed");
  expect(it.server.quirks.get).toEqual([]);
});

test("client wait - a row that stands still is cancelled and counts as failed", async () => {
  await using it = await open({ stuck: true });
  const row = await sendTask(it.client, "demo", ask("stuck"));
  const error = await failure(awaitResponse(it.client, "demo", row.id, { stallMs: 150 }));
  expect(error).toMatchObject({ code: "timeout", context: { kind: "stalled" } });
  expect(it.agent.rows[0]?.status).toBe("cancelled");
});

test("client wait - the caller's abort cancels on the server and is what is thrown", async () => {
  await using it = await open({ stuck: true });
  const row = await sendTask(it.client, "demo", ask("stuck"));
  const controller = new AbortController();
  const waiting = awaitResponse(it.client, "demo", row.id, { stallMs: 60_000, signal: controller.signal });
  const reason = new Error("enough");
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  expect(it.agent.rows[0]?.status).toBe("cancelled");
});

test("client wait - an agent that was deleted ends the wait at once", async () => {
  await using it = await open({ stuck: true });
  const row = await sendTask(it.client, "demo", ask("gone"));
  it.server.agents.delete("demo");
  const error = await failure(awaitResponse(it.client, "demo", row.id, { stallMs: 60_000 }));
  expect(error.context).toMatchObject({ kind: "gone" });
  it.agent.container.remove();
});

test("client wait - a status is terminal in any case of letters", async () => {
  await using it = await open({ stuck: true });
  const row = await sendTask(it.client, "demo", ask("case"));
  Object.assign(it.agent.rows[0] ?? {}, { status: "COMPLETED" });
  expect((await awaitResponse(it.client, "demo", row.id, { stallMs: 5000 })).status).toBe("completed");
});

test("client post - a busy agent is asked again with growing, jittered waits", async () => {
  await using it = await open({ busy: 4 });
  const waits: number[] = [];
  await sendTask(it.client, "demo", ask("patient"), { onBackOff: (delayMs) => waits.push(delayMs) });
  expect(waits).toHaveLength(4);
  for (const [index, waitMs] of waits.entries()) {
    const ceiling = Math.min(QUICK.retryCapMs, QUICK.retryBaseMs * 2 ** index);
    expect(waitMs).toBeGreaterThanOrEqual(ceiling / 2);
    expect(waitMs).toBeLessThanOrEqual(ceiling);
  }
  expect(it.agent.rows).toHaveLength(1);
});

test("client post - waiting for a busy agent ends with the caller's signal", async () => {
  await using it = await open({ busy: 1e9 });
  const signal = AbortSignal.timeout(100);
  await expect(sendTask(it.client, "demo", ask("x"), { signal })).rejects.toMatchObject({ name: "TimeoutError" });
});

test("client post - a full context is told apart from a busy agent and not repeated", async () => {
  await using it = await open({ contextFull: true });
  const error = await failure(sendTask(it.client, "demo", ask("full")));
  expect(error).toMatchObject({ code: "remote_failed", context: { kind: "context_full" } });
  expect(it.server.count("POST", RESPONSES)).toBe(1);
});

test("client post - a full context of our own agent is cleared once, then the task is sent", async () => {
  await using it = await open({ contextFull: true });
  await sendTask(it.client, "demo", ask("cleared"), { mayClearContext: true });
  expect(it.server.count("POST", /context\/clear$/)).toBe(1);
  expect(it.server.count("POST", RESPONSES)).toBe(2);
});

test("client post - a blocking post that a gateway ends with an HTML 504 is found by its content, never sent again", async () => {
  await using it = await open({ gatewayMs: 50, thinkMs: 300 });
  const row = await sendTask(it.client, "demo", ask("long"), { background: false });
  expect(row.id).toBe(it.agent.rows[0]?.id);
  expect((await awaitResponse(it.client, "demo", row.id, { stallMs: 5000 })).status).toBe("completed");
  expect(it.server.count("POST", RESPONSES)).toBe(1);
});

test("client post - a blocking post that ends in time brings the finished row", async () => {
  await using it = await open();
  expect((await sendTask(it.client, "demo", ask("quick"), { background: false })).status).toBe("completed");
});

test.each(["cut", "broken", "html502", "slow"] as const)(
  "client post - after an answer that was %s the row is found, also when it is late",
  async (fault) => {
    await using it = await open({ post: [fault], lateRowMs: 100 }, { requestMs: 400 });
    const row = await sendTask(it.client, "demo", ask(fault));
    expect(row.id).toBe(it.agent.rows[0]?.id);
    expect(it.server.count("POST", RESPONSES)).toBe(1);
  },
);

test("client post - a post that the server never took is an error, not a second post", async () => {
  await using it = await open({ dropPost: 1 }, { graceMs: 100 });
  const error = await failure(sendTask(it.client, "demo", ask("dropped")));
  expect(error).toMatchObject({ code: "remote_failed", context: { kind: "lost" } });
  expect(it.server.count("POST", RESPONSES)).toBe(1);
  expect(it.agent.rows).toEqual([]);
});

test("client list - the newest rows are found behind more than a page of old ones; markers are no tasks", async () => {
  await using it = await open({}, { graceMs: 50 });
  const old = await sendTask(it.client, "demo", ask("template"), { background: false });
  const row = it.agent.rows[0];
  for (let index = 0; index < 150; index++)
    it.agent.rows.unshift({ ...structuredClone(row), id: `old-${index}`, input_content: ask(`old ${index}`) } as never);
  expect((await findTask(it.client, "demo", ask("template"), undefined)).id).toBe(old.id);
  expect((await it.client.newestResponses("demo", 3))[0]?.id).toBe(old.id);
  it.agent.rows.push({
    ...structuredClone(row),
    id: "marker",
    input_content: [],
    segments: [{ type: "woke" }],
  } as never);
  await expect(findTask(it.client, "demo", [], undefined)).rejects.toMatchObject({ code: "remote_failed" });
});

test("client list - content is matched whatever the order of its keys", async () => {
  await using it = await open({ post: ["cut"] });
  const row = await sendTask(it.client, "demo", [{ type: "text", content: "echo order" }]);
  Object.assign(it.agent.rows[0] ?? {}, { input_content: [{ content: "echo order", type: "text" }] });
  expect((await findTask(it.client, "demo", ask("order"), undefined)).id).toBe(row.id);
});

test("client errors - text, HTML and JSON answers are all understood", async () => {
  await using it = await open();
  const { client } = it;
  expect(await failure(client.createAgent({ name: "task-1-file_ops" }))).toMatchObject({
    code: "remote_failed",
    message: expect.stringContaining("422 Failed to deserialize") as string,
  });
  expect(await failure(client.createAgent({ name: "demo" }))).toMatchObject({
    context: { kind: "conflict" },
    message: expect.stringContaining("already exists") as string,
  });
  expect(await failure(client.wakeAgent("demo"))).toMatchObject({ context: { kind: "request", status: 400 } });
  expect(await failure(client.readAgent("nobody"))).toMatchObject({ code: "not_found" });
  it.server.quirks.get = ["html502", "html502", "html502", "html502"];
  const html = await failure(client.readAgent("demo"));
  expect(html).toMatchObject({
    code: "remote_unavailable",
    message: expect.stringContaining("502 Bad Gateway") as string,
  });
  expect(html.message).not.toContain("<");
});

test("client errors - a server that is not there is remote_unavailable", async () => {
  const server = await StockServer.start();
  const client = openClient(server);
  await server[Symbol.asyncDispose]();
  expect(await failure(client.readAgent("demo"))).toMatchObject({ code: "remote_unavailable" });
  await client[Symbol.asyncDispose]();
});

test("client login - an operator's token serves later requests; a wrong password is unauthorized", async () => {
  await using server = await StockServer.start();
  server.addAgent("demo");
  const { RactorClient } = await import("../../src/client/ractor/ractor-client.ts");
  await using client = new RactorClient({ url: `${server.url}/api/v0/`, times: QUICK });
  expect(await failure(client.readAgent("demo"))).toMatchObject({ code: "unauthorized" });
  expect(await failure(client.login("admin", "wrong"))).toMatchObject({ code: "unauthorized" });
  await client.login("admin", "secret-pass");
  expect((await client.readAgent("demo")).name).toBe("demo");
});

test("client url - what is no plain http or https URL is refused, and never shown with its credentials", async () => {
  const { RactorClient } = await import("../../src/client/ractor/ractor-client.ts");
  for (const url of ["ftp://host", "host", "http://user:pass@host", "http://host/?x=1"])
    expect(() => new RactorClient({ url })).toThrow(/^the remote must be/);
  expect(() => new RactorClient({ url: "http://host", token: "two\r\nlines" })).toThrow(/^the token must be/);
});

test("client files - the bound of 25 MiB is told", async () => {
  await using it = await open();
  await it.agent.container.run("truncate -s 26M /agent/big; printf small > /agent/small");
  expect((await it.client.readFile("demo", "small")).toString()).toBe("small");
  expect(await failure(it.client.readFile("demo", "big"))).toMatchObject({
    code: "remote_failed",
    message: expect.stringContaining("25 MiB") as string,
  });
  expect(await failure(it.client.readFile("demo", "../x"))).toMatchObject({ code: "path_refused" });
});

test("client delete - repeated after a lost answer, and an agent that is gone is deleted", async () => {
  await using it = await open({ delete: ["cut"] });
  await it.client.deleteAgent("demo");
  expect(it.server.count("DELETE", /demo$/)).toBe(2);
  expect(it.server.agents.size).toBe(0);
});
