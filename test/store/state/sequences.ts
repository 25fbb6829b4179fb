import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AGENT_STATES, type AgentRow } from "../../../src/model/agent.ts";
import type { TerminalStatus } from "../../../src/model/response.ts";
import type { Fence } from "../../../src/store/state-store/responses.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { countRounds } from "../../support/soak.ts";
import { type ModelFence, StateModel } from "./model.ts";
import { insertAgent, makeName, makeResponse, note } from "./samples.ts";

const RUNS = countRounds("PADDOCK_STATE_RUNS", 20, 1000);
const TIMEOUT_MS = 30_000 + RUNS * 1000;

const index = fc.nat({ max: 5 });
const status = fc.constantFrom<TerminalStatus>("completed", "failed", "cancelled");
const state = fc.constantFrom(...AGENT_STATES);

const post = fc.record({
  kind: fc.constant("post"),
  agent: index,
  principal: fc.constantFrom("ann", "bob"),
  refuseBusy: fc.boolean(),
  maxQueued: fc.nat({ max: 4 }),
  maxOfPrincipal: fc.nat({ max: 6 }),
  key: fc.option(fc.record({ key: fc.constantFrom("k1", "k2"), hash: fc.constantFrom("h1", "h2") }), {
    nil: undefined,
    freq: 4,
  }),
});
const onFence = <K extends string>(kind: K) =>
  fc.record({
    kind: fc.constant(kind),
    fence: index,
    response: fc.option(index, { nil: undefined, freq: 3 }),
    status,
    after: fc.nat({ max: 3 }),
  });
const step = fc.oneof(
  { weight: 6, arbitrary: post },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("claim"), agent: index, isLate: fc.nat({ max: 5 }) }) },
  { weight: 3, arbitrary: onFence("append") },
  { weight: 4, arbitrary: onFence("finish") },
  { weight: 2, arbitrary: onFence("requeue") },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end"), response: index, status }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("amend"), response: index }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("settle"), agent: index }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("update"), agent: index, state, states: fc.subarray([...AGENT_STATES]) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reign") }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("takeOver") }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove"), agent: index }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

export function testSequences(open: () => StateStore): void {
  describe("state - random sequences", () => {
    test(
      "the database does what the rules say",
      async () => {
        const property = fc.asyncProperty(
          fc.array(step, { minLength: 20, maxLength: 80, size: "max" }),
          async (steps) => {
            const run = await SequenceRun.begin(open());
            for (const each of steps) await run.take(each);
            await run.compareAll();
          },
        );
        await fc.assert(property, { numRuns: RUNS });
      },
      TIMEOUT_MS,
    );
  });
}

/** One sequence, on agents and a data folder of its own. */
class SequenceRun {
  readonly #store: StateStore;
  readonly #nodeId = makeName();
  readonly #model = new StateModel();
  readonly #agents: AgentRow[] = [];
  /** Of every response that was ever posted, and every claim that ever held. */
  readonly #responses: string[] = [];
  readonly #claims: { readonly id: string; readonly fence: Fence }[] = [];
  /** Principals are this run's alone: keys and bounds are theirs. */
  readonly #suffix = makeName();

  private constructor(store: StateStore) {
    this.#store = store;
  }

  static async begin(store: StateStore): Promise<SequenceRun> {
    const run = new SequenceRun(store);
    for (const _ of [0, 1]) {
      const agent = await insertAgent(store, { nodeId: run.#nodeId, state: "init" });
      run.#agents.push(agent);
      run.#model.agents.set(agent.id, { state: "init", version: 1 });
    }
    await run.take({ kind: "reign" });
    return run;
  }

  async take(each: Step): Promise<void> {
    switch (each.kind) {
      case "post":
        return await this.#post(each);
      case "claim":
        return await this.#claim(this.#agent(each.agent), each.isLate === 0 ? 1 : 0);
      case "append":
      case "finish":
      case "requeue":
        return await this.#useFence(each);
      case "end":
      case "amend":
        return await this.#change(each);
      case "settle":
        return expect((await this.#store.settleAgent(this.#agent(each.agent).id, 1))?.state).toBe(
          this.#model.settle(this.#agent(each.agent).id),
        );
      case "update":
        return await this.#update(each);
      case "reign":
        this.#model.reign += 1;
        return expect(await this.#store.beginReign(this.#nodeId, null)).toBe(this.#model.reign);
      case "takeOver":
        return await this.#takeOver();
      case "remove":
        return expect((await this.#store.deleteAgent(this.#agent(each.agent).id)) !== undefined).toBe(
          this.#model.remove(this.#agent(each.agent).id),
        );
    }
  }

  async compareAll(): Promise<void> {
    for (const agent of this.#agents) {
      const found = await this.#store.getAgent(agent.id);
      expect(found && { state: found.state, version: found.version }).toEqual(this.#model.agents.get(agent.id));
    }
    for (const id of this.#responses) {
      const found = await this.#store.getResponse(id);
      const expected = this.#model.responses.get(id);
      expect(found && [found.row.status, found.row.attempts, found.row.version]).toEqual(
        expected && [expected.status, expected.attempts, expected.version],
      );
      expect(found?.segments).toEqual(expected?.segments.map(note));
    }
    const open = [...this.#model.responses].filter(([, each]) => ["pending", "processing"].includes(each.status));
    expect((await this.#store.listUnfinished(this.#nodeId)).map((row) => row.id)).toEqual(open.map(([id]) => id));
  }

  #agent(at: number): AgentRow {
    return this.#agents[at % this.#agents.length] ?? expect.unreachable();
  }

  async #post(each: Extract<Step, { kind: "post" }>): Promise<void> {
    const agent = this.#agent(each.agent);
    const response = makeResponse({ id: randomUUID(), createdBy: each.principal + this.#suffix });
    const key = each.key && { ...each.key, principal: response.createdBy };
    const expected = this.#model.post(agent.id, response.id, { ...each, principal: response.createdBy });
    const options = { refuseBusy: each.refuseBusy, maxQueued: each.maxQueued, maxOfPrincipal: each.maxOfPrincipal };
    const found = await this.#store
      .insertResponse(agent.id, response, { ...options, ...(key === undefined ? {} : { key }) })
      .then(({ row }) => row.id, readCode);
    expect(found).toBe(expected);
    if (found === response.id) this.#responses.push(found);
  }

  async #claim(agent: AgentRow, late: number): Promise<void> {
    const reign = this.#model.reign - late;
    const expected = this.#model.claim(agent.id, reign);
    const next = await this.#store.findNext(agent.id);
    const found = await this.#store.claimResponse(agent.id, this.#nodeId, reign).catch(readCode);
    if (typeof found !== "string") expect(found?.id).toBe(next);
    expect(typeof found === "object" ? found.id : found).toBe(expected);
    if (typeof found === "object")
      this.#claims.push({ id: found.id, fence: { nodeId: this.#nodeId, reign, attempt: found.attempts } });
  }

  /** With the fence of its own claim, or of another one; twice, as when the first answer was lost. */
  async #useFence(each: Extract<Step, { kind: "append" | "finish" | "requeue" }>): Promise<void> {
    const claim = this.#claims.at(-1 - each.fence);
    if (claim === undefined) return;
    const id = each.response === undefined ? claim.id : (this.#responses.at(-1 - each.response) ?? claim.id);
    const fence: ModelFence = claim.fence;
    const text = randomUUID();
    if (each.kind === "append") {
      const expected = this.#model.append(id, fence, text);
      const after = Math.min(each.after, expected === false ? 0 : expected - 1);
      for (const _ of [1, 2])
        expect(await this.#store.appendSegments(id, claim.fence, after, [note(text)])).toBe(expected);
    } else if (each.kind === "finish") {
      const expected = this.#model.finish(id, fence, each.status, text);
      const end = { status: each.status, segments: [note(text)] };
      for (const _ of [1, 2]) expect(await this.#store.finishResponse(id, claim.fence, end)).toBe(expected);
    } else expect(await this.#store.requeueResponse(id, claim.fence)).toBe(this.#model.requeue(id, fence));
  }

  async #change(each: Extract<Step, { kind: "end" | "amend" }>): Promise<void> {
    const id = this.#responses.at(-1 - each.response);
    if (id === undefined) return;
    const segments = [note(randomUUID())];
    const text = String(segments[0]?.["content"]);
    if (each.kind === "end") {
      const expected = this.#model.end(id, each.status, text);
      expect((await this.#store.endResponse(id, { status: each.status, segments })) !== undefined).toBe(expected);
    } else expect((await this.#store.amendResponse(id, { segments })) !== undefined).toBe(this.#model.amend(id, text));
  }

  async #update(each: Extract<Step, { kind: "update" }>): Promise<void> {
    const { id } = this.#agent(each.agent);
    const expected = this.#model.update(id, each.state, each.states);
    const found = await this.#store.updateAgent(id, { state: each.state }, { states: each.states });
    expect(found !== undefined).toBe(expected);
  }

  async #takeOver(): Promise<void> {
    const expected = this.#model.takeOver();
    const taken = await this.#store.takeOverClaims(this.#nodeId, this.#model.reign);
    expect(taken.map((each) => each.row.id)).toEqual(expected);
    this.#claims.push(...taken.map(({ row, fence }) => ({ id: row.id, fence })));
  }
}

const readCode = (thrown: unknown): string => String((thrown as { code?: unknown }).code ?? thrown);
