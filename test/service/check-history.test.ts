import { expect, test } from "vitest";
import type { ResponseRow } from "../../src/model/response.ts";
import { type AgentOutcome, findViolations } from "./check-history.ts";
import type { Answer, Sight } from "./history.ts";

/** Histories that a broken server would leave: the checker has to see each. */

const row = (id: string, seq: number, fields: Partial<ResponseRow> = {}): ResponseRow =>
  ({ id, seq, status: "completed", outputContent: [], input: `begin ${id} $$`, ...fields }) as ResponseRow;
const see = (id: string, status: string): Sight => ({ id, status, attempts: 1, finishedAt: "t" });
const answer = (kind: string, startMs: number, fields: Partial<Answer> = {}): Answer => ({
  ...{ client: 0, kind, name: "a", startMs, endMs: startMs + 1, status: 200, seen: [] },
  ...fields,
});
const agent = (fields: Partial<AgentOutcome> = {}): AgentOutcome => ({
  ...{ name: "a", state: "idle", rows: [row("r1", 1), row("r2", 2)] },
  ...{ marks: ["begin r1 9", "end r1 9", "begin r2 9", "end r2 9"] },
  ...fields,
});
const judge = (answers: readonly Answer[], outcome: Partial<AgentOutcome> | null = {}): readonly string[] =>
  findViolations(answers, { agents: outcome === null ? [] : [agent(outcome)], strays: new Map() });
const accepted = answer("post", 1, { seen: [see("r1", "pending")] });

test("history - one that is as it should be breaks nothing", () => {
  const read = answer("list", 5, { seen: [see("r1", "completed"), see("r2", "pending")] });
  expect(judge([answer("create", 0), accepted, read])).toEqual([]);
});

test.each([
  ["a failure of the server", [answer("look", 1, { status: 500 })], {}, "unexpected"],
  ["no answer", [answer("delete", 1, { status: 0 })], {}, "unexpected"],
  [
    "two ends",
    [answer("list", 1, { seen: [see("r1", "failed")] }), answer("list", 3, { seen: [see("r1", "completed")] })],
    {},
    "was told as failed and as completed",
  ],
  [
    "a state before the end, told after it",
    [answer("list", 1, { seen: [see("r1", "completed")] }), answer("list", 3, { seen: [see("r1", "processing")] })],
    {},
    "after it had ended",
  ],
  ["another end in the database", [answer("list", 1, { seen: [see("r1", "cancelled")] })], {}, "is completed"],
  [
    "a cancellation that did not last",
    [answer("cancelOne", 1, { responseId: "r1", cancelled: true })],
    {},
    "was cancelled, is completed",
  ],
  ["an accepted task that is lost", [accepted], null, "was accepted and is lost"],
  ["a task that never ends", [], { rows: [row("r1", 1, { status: "processing" })], marks: [] }, "is still processing"],
  ["a task that outlives its agent", [accepted, answer("delete", 5)], {}, "outlived"],
  ["a name that two have", [answer("create", 1), answer("create", 2)], {}, "made twice"],
  [
    "a key that makes two",
    ["r1", "r2"].map((id) => answer("post", 1, { key: "k", seen: [see(id, "pending")] })),
    {},
    "made r1 and r2",
  ],
  ["two tasks at once", [], { marks: ["begin r1 9", "begin r2 9", "end r1 9", "end r2 9"] }, "went on while"],
  [
    "a task that runs twice",
    [],
    { marks: ["begin r1 9", "begin r1 9", "end r1 9", "begin r2 9", "end r2 9"] },
    "ran twice",
  ],
  ["a queue out of order", [], { marks: ["begin r2 9", "end r2 9", "begin r1 9", "end r1 9"] }, "out of order"],
  ["an end that was not reached", [], { marks: ["begin r1 9", "end r1 9", "begin r2 9"] }, "did not run to its end"],
  ["work that nobody gave", [], { marks: ["begin r3 9"], rows: [] }, "never accepted"],
  ["an agent that stays busy", [], { state: "busy" }, "is busy"],
] as const)("history - the checker sees %s", (_what, answers, outcome, violation) => {
  expect(judge(answers, outcome as Partial<AgentOutcome> | null).join("\n")).toContain(violation);
});
