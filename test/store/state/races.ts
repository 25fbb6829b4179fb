import { describe, expect, test } from "vitest";
import type { AgentRow } from "../../../src/model/agent.ts";
import type { ResponseRow } from "../../../src/model/response.ts";
import type { Fence } from "../../../src/store/state-store/responses.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { type Call, Elsewhere, type Outcome, raceHere } from "./elsewhere.ts";
import {
  claim,
  insertAgent,
  makeAgent,
  makeName,
  makeResponse,
  note,
  post,
  ROOMY,
  readWhole,
  type StateSubject,
  startStore,
} from "./samples.ts";

const MANY = 40;
const indexes = Array.from({ length: MANY }, (_, index) => index);

interface Racers {
  readonly store: StateStore;
  /** Half of the calls here, half in the other process, all at once; outcomes in the order of the calls. */
  readonly race: (calls: readonly Call[]) => Promise<readonly Outcome[]>;
}

const isDone = (outcome: Outcome | undefined): outcome is { readonly value: unknown } =>
  outcome !== undefined && "value" in outcome;

/** The calls that did what they were asked to: neither false nor undefined nor refused. */
const countWon = (outcomes: readonly Outcome[]): number =>
  outcomes.filter((outcome) => isDone(outcome) && outcome.value !== false && outcome.value !== undefined).length;

/** Codes of the calls that were refused. */
const listCodes = (outcomes: readonly Outcome[]): readonly string[] => [
  ...new Set(outcomes.flatMap((outcome) => (isDone(outcome) ? [] : [outcome.code]))),
];

/** Two processes on one database. What both attempt happens exactly once, and both learn the truth. */
export function testRaces(subject: StateSubject): void {
  const withTwo = async (work: (racers: Racers) => Promise<void>): Promise<void> => {
    const options = await subject.makeDatabase();
    await using store = await startStore(options);
    await using elsewhere = await Elsewhere.open(options);
    const race = async (calls: readonly Call[]): Promise<readonly Outcome[]> => {
      const isHere = (_: unknown, index: number): boolean => index % 2 === 0;
      const there = elsewhere.race(calls.filter((call, index) => !isHere(call, index)));
      const here = await raceHere(store, calls.filter(isHere));
      const rest = await there;
      return calls.map((_, index) => (index % 2 === 0 ? here : rest)[Math.floor(index / 2)] ?? expect.unreachable());
    };
    await work({ store, race });
  };

  describe("state - races of two processes", () => {
    test("of creates of one name, one wins", async () => {
      await withTwo(async ({ store, race }) => {
        const names = indexes.map(() => makeName());
        const agents = names.flatMap((name) => [makeAgent({ name }), makeAgent({ name: name.toUpperCase() })]);
        const outcomes = await race(agents.map((agent) => ["insertAgent", agent]));
        expect([countWon(outcomes), listCodes(outcomes)]).toEqual([MANY, ["name_taken"]]);
        for (const [index, agent] of agents.entries())
          expect((await store.findAgent(agent.name))?.id === agent.id).toBe(isDone(outcomes[index]));
      });
    });

    test("of requests under one key, one is carried out and all get its result", async () => {
      await withTwo(async ({ store, race }) => {
        const agent = await insertAgent(store);
        const key = { principal: "ann", key: "k", hash: "h" };
        const outcomes = await race(indexes.map(() => ["insertResponse", agent.id, makeResponse(), { ...ROOMY, key }]));
        const made = outcomes.map((outcome) => (isDone(outcome) ? outcome.value : outcome)) as {
          row: ResponseRow;
          isNew: boolean;
        }[];
        expect(new Set(made.map((each) => each.row.id)).size).toBe(1);
        expect(made.filter((each) => each.isNew)).toHaveLength(1);
        expect(await store.countResponses(agent.id)).toBe(1);
      });
    });

    test("a full queue stays at its bound", async () => {
      await withTwo(async ({ store, race }) => {
        const agents = [await insertAgent(store), await insertAgent(store), await insertAgent(store)];
        const options = { refuseBusy: false, maxQueued: 7, maxOfPrincipal: 17 };
        const outcomes = await race(
          indexes.map((index) => {
            const agent = agents[Math.floor(index / 2) % 3] ?? expect.unreachable();
            return ["insertResponse", agent.id, makeResponse(), options];
          }),
        );
        expect([countWon(outcomes), listCodes(outcomes)]).toEqual([17, ["queue_full"]]);
        for (const agent of agents) expect(await store.countResponses(agent.id)).toBeLessThanOrEqual(7);
      });
    });

    test("each response is claimed once, and the oldest goes first", async () => {
      await withTwo(async ({ store, race }) => {
        const { agent, rows, reign } = await postMany(store);
        const outcomes = await race([...indexes, 0, 1].map(() => ["claimResponse", agent.id, agent.nodeId, reign]));
        const claimed = outcomes.flatMap((outcome) =>
          isDone(outcome) ? [outcome.value as ResponseRow | undefined] : [],
        );
        expect(claimed.filter((row) => row === undefined)).toHaveLength(2);
        const ids = claimed.flatMap((row) => (row === undefined ? [] : [row.id])).sort();
        expect(ids).toEqual(rows.map((row) => row.id).sort());
        expect(claimed.every((row) => row === undefined || row.attempts === 1)).toBe(true);
      });
    });

    test("a response ends once, whoever is first, and keeps what that one said", async () => {
      await withTwo(async ({ store, race }) => {
        const { agent, reign } = await postMany(store);
        const claims: { readonly row: ResponseRow; readonly fence: Fence }[] = [];
        for (const _ of indexes) claims.push(await claim(store, agent, reign));
        const calls = claims.flatMap(({ row, fence }): Call[] => [
          ["finishResponse", row.id, fence, { status: "completed", segments: [note("finish")] }],
          ["endResponse", row.id, { status: "cancelled", segments: [note("end")] }],
          ["appendSegments", row.id, fence, 0, [note("append")]],
          ["requeueResponse", row.id, fence],
        ]);
        const outcomes = await race(calls);
        for (const [index, { row }] of claims.entries())
          await expectOneEnd(store, row.id, outcomes.slice(index * 4, index * 4 + 4));
      });
    });

    test("a reign that begins amid writes fences all that come after it", async () => {
      await withTwo(async ({ store, race }) => {
        const { agent, reign } = await postMany(store);
        const { row, fence } = await claim(store, agent, reign);
        const writes: Call[] = indexes.flatMap((index): Call[] => [
          ["appendSegments", row.id, fence, 0, [note(index)]],
          ["claimResponse", agent.id, agent.nodeId, reign],
        ]);
        const [begun, ...outcomes] = await race([["beginReign", agent.nodeId, null], ...writes]);
        expect(begun).toEqual({ value: reign + 1 });
        const appended = outcomes.filter((outcome) => isDone(outcome) && typeof outcome.value === "number").length;
        expect((await readWhole(store, row.id)).segments).toHaveLength(appended);
        for (const { id } of [row, ...readClaimed(outcomes)])
          expect(await store.appendSegments(id, { ...fence, attempt: 1 }, 0, [note("late")])).toBe(false);
        const taken = await store.takeOverClaims(agent.nodeId, reign + 1);
        expect(taken).toHaveLength((await store.countWork(agent.nodeId)).processing);
        for (const each of taken) expect(await store.requeueResponse(each.row.id, each.fence)).toBe(true);
      });
    });

    test("an agent that is deleted amid posts and claims leaves nothing", async () => {
      await withTwo(async ({ store, race }) => {
        const { agent, rows, reign } = await postMany(store);
        const outcomes = await race(
          indexes.flatMap((index): Call[] => [
            ["insertResponse", agent.id, makeResponse(), ROOMY],
            index === MANY / 2 ? ["deleteAgent", agent.id] : ["claimResponse", agent.id, agent.nodeId, reign],
            ["endResponse", rows[index]?.id ?? "", { status: "cancelled" }],
            ["settleAgent", agent.id, 1],
          ]),
        );
        expect(listCodes(outcomes).filter((code) => code !== "not_found")).toEqual([]);
        expect(await store.getAgent(agent.id)).toBeUndefined();
        expect(await store.countResponses(agent.id)).toBe(0);
        expect(await store.countWork(agent.nodeId)).toEqual({ pending: 0, processing: 0 });
      });
    });

    test("an agent is never idle while something waits", async () => {
      await withTwo(async ({ store, race }) => {
        const agent = await insertAgent(store);
        for (const round of indexes.slice(0, 10)) {
          const response = makeResponse();
          const settle: Call = ["settleAgent", agent.id, round];
          await race([settle, ["insertResponse", agent.id, response, ROOMY], settle, settle]);
          expect((await store.getAgent(agent.id))?.state).toBe("busy");
          await race([["endResponse", response.id, { status: "cancelled" }], settle, settle, settle]);
          expect((await store.settleAgent(agent.id, round))?.state).toBe("idle");
        }
      });
    });
  });

  describe("state - the death of a process", () => {
    test("what was acknowledged before kill -9 is there afterwards, and nothing is half written", async () => {
      const options = await subject.makeDatabase();
      await using store = await startStore(options);
      const agent = await insertAgent(store);
      for (const count of [1, 50, 200]) {
        await using elsewhere = await Elsewhere.open(options);
        const acknowledged = await elsewhere.killAmidPosting(agent.id, count);
        expect(acknowledged.length).toBeGreaterThanOrEqual(count);
        await using again = await startStore(options);
        for (const id of acknowledged) expect((await readWhole(again, id)).segments).toHaveLength(1);
        await post(again, agent);
      }
    });
  });
}

const readClaimed = (outcomes: readonly Outcome[]): readonly ResponseRow[] =>
  outcomes.flatMap((outcome) =>
    isDone(outcome) && typeof outcome.value === "object" ? [outcome.value as ResponseRow] : [],
  );

async function postMany(
  store: StateStore,
): Promise<{ readonly agent: AgentRow; readonly rows: readonly ResponseRow[]; readonly reign: number }> {
  const agent = await insertAgent(store, { nodeId: makeName() });
  const rows: ResponseRow[] = [];
  for (const _ of indexes) rows.push(await post(store, agent));
  return { agent, rows, reign: await store.beginReign(agent.nodeId, null) };
}

/**
 * Outcomes of finish, end, append and requeue, which raced. A requeue may come before an end, which then is the
 * client's.
 */
async function expectOneEnd(store: StateStore, id: string, outcomes: readonly Outcome[]): Promise<void> {
  expect(listCodes(outcomes)).toEqual([]);
  const [finished, ended, appended, requeued] = outcomes.map((outcome) => countWon([outcome]) === 1);
  const { row, segments } = await readWhole(store, id);
  expect(ended === finished).toBe(false);
  expect(finished === true && requeued === true).toBe(false);
  expect(row.status).toBe(finished === true ? "completed" : "cancelled");
  const last = finished === true ? "finish" : "end";
  expect(segments).toEqual([...(appended === true ? [note("append")] : []), note(last)]);
}
