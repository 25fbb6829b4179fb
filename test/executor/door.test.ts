import { afterAll, beforeAll, expect, test } from "vitest";
import type { App } from "../../src/app.ts";
import { PaddockError } from "../../src/errors/error.ts";
import { openTestApp } from "../support/home.ts";
import { expectCleanHost, listLeftovers } from "../support/host-state.ts";
import { QueueDoor, WarmPlace } from "../support/queue-door.ts";

let app: App;
let before: string[];

beforeAll(async () => {
  app = await openTestApp();
  await app.fleet.start();
  before = listLeftovers();
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await expectCleanHost(before);
});

const bash = (command: string): string =>
  JSON.stringify({ node_type: "file", tool_calls: [{ tool: "run_command", input: { command } }] });

test("door - tasks of a queue run in one warm sandbox, are answered by messages and kept nowhere else", async () => {
  const journals = app.store.list();
  await using place = new WarmPlace(app.fleet);
  const door = new QueueDoor(app.executor, place);
  await door.take("1", bash("echo one | tee note"));
  await door.take("2", bash("cat note; exit 3"));
  const taskId = expect.stringMatching(/^tsk_/) as string;
  expect(door.answers).toMatchObject([
    { type: "accepted", id: "1", taskId },
    { type: "output", id: "1", text: "one\n" },
    { type: "call", id: "1", operation: "run_command", verdict: "ok" },
    { type: "done", id: "1", status: "completed" },
    { type: "accepted", id: "2", taskId },
    { type: "output", id: "2", text: "one\n" },
    { type: "call", id: "2", operation: "run_command", verdict: "nonzero" },
    { type: "done", id: "2", status: "failed", error: { code: "nonzero" } },
  ]);
  expect(app.store.list()).toEqual(journals);
});

test("door - a message that is no task is refused, and the next one runs in a new sandbox when the old one has ended", async () => {
  await using place = new WarmPlace(app.fleet);
  const door = new QueueDoor(app.executor, place);
  await door.take("1", bash("echo one > note"));
  await door.take("2", "{}");
  await place.end(new PaddockError("sandbox_lost", "ended by the test"));
  await door.take("3", bash("cat note 2> /dev/null || echo new"));
  expect(door.answers.filter(({ id }) => id === "2")).toEqual([{ type: "refused", id: "2", code: "no_plan" }]);
  expect(door.answers.filter(({ id }) => id === "3")).toMatchObject([
    { type: "accepted" },
    { type: "output", text: "new\n" },
    { type: "call", verdict: "ok" },
    { type: "done", status: "completed" },
  ]);
});
