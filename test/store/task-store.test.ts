import { execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { identifyProcess } from "../../src/lib/process-identity.ts";
import { makeTaskId, type TaskId } from "../../src/model/ids.ts";
import { type TaskEnd, TaskStore } from "../../src/store/task-store.ts";
import { beforeFileCalls } from "../support/file-calls.ts";
import { canMount } from "../support/mount.ts";
import { lacks } from "../support/needs.ts";

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

const fileOf = (id: TaskId): string => join(folder, `${id}.jsonl`);
const endLine = (id: TaskId, error = "") =>
  ({ line: "end", result: { task_id: id, error } as unknown as TaskEnd }) as const;

/** A task whose owner is a process that no longer is. */
function makeDead(): TaskId {
  const id = makeTaskId();
  store.open(id, {}).close();
  writeFileSync(fileOf(id), readFileSync(fileOf(id), "utf8").replace(/"startTicks":"\d+"/, '"startTicks":"1"'));
  return id;
}

test("task store - a task that ends with its owner while another start looks at it is not lost", () => {
  const owner = spawn("sleep", ["1000"]);
  const pid = owner.pid ?? expect.unreachable();
  const id = makeTaskId();
  const intent = { line: "intent", task_id: id, time: "", owner: identifyProcess(pid), task: {} };
  writeFileSync(fileOf(id), `${JSON.stringify(intent)}\n`);
  let hasEnded = false;
  using _hook = beforeFileCalls(["readFileSync"], (_, path) => {
    if (hasEnded || path !== `/proc/${pid}/stat`) return;
    hasEnded = true;
    appendFileSync(fileOf(id), `${JSON.stringify(endLine(id))}\n`);
    owner.kill("SIGKILL");
    while (identifyProcess(pid) !== undefined);
  });
  expect(store.closeLost()).toEqual([]);
  expect([hasEnded, store.read(id).map(({ line }) => line)]).toEqual([true, ["intent", "end"]]);
});

test("task store - a task that begins while another start looks is not lost", () => {
  const id = makeTaskId();
  const lost: string[] = [];
  {
    using _hook = beforeFileCalls(["writeSync"], () => lost.push(...new TaskStore(folder).closeLost()));
    store.open(id, {}).close();
  }
  expect([lost, store.read(id).map(({ line }) => line)]).toEqual([[], ["intent"]]);
});

test.each([
  ["closing", () => store.closeLost()],
  ["pruning", () => store.prune(-1, 0)],
  ["reading", (id: TaskId) => store.read(id)],
])("task store - %s passes over a file that another start prunes at any moment", (what, act) => {
  for (let moment = 1, wasThere = true; wasThere; moment++) {
    const id = makeDead();
    if (what === "pruning") appendFileSync(fileOf(id), `${JSON.stringify(endLine(id))}\n`);
    let calls = 0;
    using _hook = beforeFileCalls(["openSync", "statSync", "readFileSync"], (_, path) => {
      if (path === fileOf(id) && ++calls === moment) rmSync(path);
    });
    try {
      act(id);
    } catch (error) {
      expect([what, error]).toMatchObject(["reading", { code: "not_found" }]);
    }
    wasThere = calls >= moment;
    expect(moment).toBeLessThan(20);
    if (wasThere) expect(existsSync(fileOf(id))).toBe(false);
    rmSync(fileOf(id), { force: true });
  }
});

test.skipIf(lacks(canMount(), "root that may mount"))(
  "task store - a line that the disk has no room for is refused, and is not there in part",
  () => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
    try {
      const id = makeTaskId();
      const journal = store.open(id, {});
      expect(() => journal.append(endLine(id, "x".repeat(70_000)))).toThrow(
        expect.objectContaining({ code: "no_space" }),
      );
      expect(store.read(id).map(({ line }) => line)).toEqual(["intent"]);
      journal.append(endLine(id));
      journal.close();
      expect(store.read(id).map(({ line }) => line)).toEqual(["intent", "end"]);
      const late = makeTaskId();
      expect(() => store.open(late, "x".repeat(70_000))).toThrow(expect.objectContaining({ code: "no_space" }));
      expect(readdirSync(folder)).toEqual([`${id}.jsonl`]);
    } finally {
      execFileSync("umount", ["-l", folder]);
    }
  },
);
