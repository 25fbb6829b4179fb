import { expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import { executeTask } from "../../src/executor/executor.ts";
import { planTask } from "../../src/executor/planner.ts";
import { joinSinks, type TaskSink, watchEvents } from "../../src/executor/sinks/task-sink.ts";
import { makeTaskId } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { TaskInput } from "../../src/model/task.ts";
import { MemoryPlace } from "../support/memory-place.ts";

const write = (path: string, more: object = {}): object => ({
  tool: "write_file",
  input: { path, content: path },
  ...more,
});

async function run(place: MemoryPlace, calls: readonly object[], ...sinks: readonly TaskSink[]): Promise<TaskResult> {
  const task = TaskInput.parse({ node_type: "file", tool_calls: calls });
  const planned = { taskId: makeTaskId(), task, plan: planTask(task) };
  return await executeTask(planned, { place, sink: joinSinks(...sinks), signal: undefined });
}

test("place - one without a sandbox gives records of the same shape, and the plan's attempts", async () => {
  const place = new MemoryPlace();
  place.passing = 2;
  const result = await run(place, [write("a"), { tool: "read_file", input: { path: "a" } }]);
  const [first, second] = result.tool_calls;
  expect(first).toMatchObject({
    verdict: "ok",
    retry_count: 2,
    sandbox_id: null,
    isolation: null,
    files_unknown: true,
  });
  expect(first?.attempts.map(({ verdict }) => verdict)).toEqual(["nonzero", "nonzero", "ok"]);
  expect(second).toMatchObject({ operation: "read_file", verdict: "ok", retry_count: 0 });
  expect(result.values.map(({ value }) => value)).toMatchObject([{ bytes: 1 }, { content: "a" }]);
  expect(place.steps).toEqual(["open", "finish", "close"]);
});

test("place - the task's time begins when the place is open", async () => {
  const place = new MemoryPlace();
  const left: number[] = [];
  place.onOpen = ({ deadline }) => void left.push(deadline.remainingMs());
  place.onRun = ({ deadline }) => void left.push(deadline.remainingMs());
  await run(place, [write("a")]);
  expect(left[0]).toBeGreaterThan(place.openMs / 2);
  expect(left[1]).toBeLessThanOrEqual(DEFAULT_LIMITS.taskTimeoutMs);
});

test("sink - each is told in turn: the intent first, the result last, and what it keeps short is short in the result", async () => {
  const told: string[] = [];
  const name = (who: string): TaskSink => ({
    begin: (_id, intent) => void told.push(`${who} begin ${(intent as { place: string }).place}`),
    event: ({ type }) => void told.push(`${who} ${type}`),
    call: () => void told.push(`${who} call`),
    end: ({ status }) => void told.push(`${who} ${status}`),
  });
  const short: TaskSink = {
    ...name("two"),
    excerpt: ({ record, value }) => ({ record, value: { ...value, value: null } }),
  };
  const result = await run(new MemoryPlace(), [write("a")], name("one"), short);
  const both = (what: string): string[] => [`one ${what}`, `two ${what}`];
  const steps = ["begin memory", "task_started", "call_started", "call", "completed"];
  expect(told).toEqual(steps.flatMap(both));
  expect(result.values[0]?.value).toBeNull();
});

test("sink - one that refuses the intent refuses the task: nothing was opened", async () => {
  const place = new MemoryPlace();
  const refuse = (): never => {
    throw new PaddockError("no_space", "the disk is full");
  };
  await expect(run(place, [write("a")], { begin: refuse })).rejects.toMatchObject({ code: "no_space" });
  expect(place.steps).toEqual([]);
});

test("sink - one that cannot take a call ends the task with its error, and the place is closed", async () => {
  const place = new MemoryPlace();
  const events: string[] = [];
  const fail = (): Promise<never> => Promise.reject(new PaddockError("fenced", "somebody else has it"));
  const watch = watchEvents(({ type }) => void events.push(type));
  const result = await run(place, [write("a"), write("b")], { call: fail }, watch);
  expect(result).toMatchObject({ status: "failed", error: { code: "fenced" } });
  expect(result.tool_calls.map(({ verdict }) => verdict)).toEqual(["ok"]);
  expect(events).toEqual(["task_started", "call_started"]);
  expect(place.steps).toEqual(["open", "close"]);
});
