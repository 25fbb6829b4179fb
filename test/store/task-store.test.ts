import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeTaskId } from "../../src/model/ids.ts";
import { TaskStore } from "../../src/store/task-store.ts";

let folder = "";
let store: TaskStore;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-store-"));
  store = new TaskStore(folder);
});

afterEach(() => rmSync(folder, { recursive: true }));

test("task store - the intent is on disk before open returns", () => {
  const id = makeTaskId();
  const journal = store.open(id, { description: "x" });
  expect(store.read(id)).toMatchObject([
    { line: "intent", task_id: id, task: { description: "x" }, owner: { pid: process.pid } },
  ]);
  journal.close();
});

test("task store - a task of a living owner is left alone, one of a dead owner is closed as lost once", () => {
  const alive = makeTaskId();
  store.open(alive, {}).close();
  const dead = makeTaskId();
  store.open(dead, {}).close();
  const file = join(folder, `${dead}.jsonl`);
  writeFileSync(file, readFileSync(file, "utf8").replace(/"startTicks":"\d+"/, '"startTicks":"1"'));
  expect(store.closeLost()).toEqual([dead]);
  expect(store.read(dead).at(-1)).toMatchObject({ line: "lost", code: "task_lost" });
  expect(store.closeLost()).toEqual([]);
  expect(store.read(alive)).toHaveLength(1);
});

test("task store - a line torn by a crash is ignored and the file still closes", () => {
  const id = makeTaskId();
  store.open(id, {}).close();
  const file = join(folder, `${id}.jsonl`);
  writeFileSync(file, readFileSync(file, "utf8").replace(/"startTicks":"\d+"/, '"startTicks":"1"'));
  appendFileSync(file, '{"line":"call","rec');
  expect(store.closeLost()).toEqual([id]);
  expect(store.read(id).map((line) => line.line)).toEqual(["intent", "lost"]);
});

test("task store - an id from outside cannot name a file elsewhere", () => {
  expect(() => store.read("../../etc/passwd")).toThrow(/no task/);
});

test("task store - pruning removes ended tasks only", () => {
  const open = makeTaskId();
  store.open(open, {}).close();
  const ended = makeTaskId();
  const journal = store.open(ended, {});
  journal.append({ line: "lost", task_id: ended, time: new Date().toISOString(), code: "task_lost" });
  journal.close();
  expect(store.prune(-1, Number.POSITIVE_INFINITY)).toBe(1);
  expect(store.list()).toEqual([open]);
});

test("task store - a journal longer than any string can be closed, pruned and kept beside others", () => {
  const id = makeTaskId();
  store.open(id, {}).close();
  const file = join(folder, `${id}.jsonl`);
  writeFileSync(file, readFileSync(file, "utf8").replace(/"startTicks":"\d+"/, '"startTicks":"1"'));
  truncateSync(file, 600 * 1024 * 1024);
  appendFileSync(file, "\n");
  expect(store.closeLost()).toEqual([id]);
  expect(store.closeLost()).toEqual([]);
  expect(store.prune(0, 0)).toBe(1);
});
