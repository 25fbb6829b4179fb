import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { makeAgentId } from "../../../src/model/ids.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { claim, claimNew, insertAgent, makeName, makeResponse, note, post, ROOMY, readWhole } from "./samples.ts";

export function testResponses(open: () => StateStore): void {
  testQueueing(open);
  testReading(open);
  testChanges(open);
}

function testQueueing(open: () => StateStore): void {
  describe("state - queueing a response", () => {
    test("the row exists, and an idle agent is busy from then on", async () => {
      const store = open();
      const agent = await insertAgent(store, { state: "init", idleFrom: 5 });
      const response = makeResponse({ options: { idempotent: true, timeoutMs: 5, traceparent: "00-x" } });
      const made = await store.insertResponse(agent.id, response, ROOMY);
      expect(made.isNew).toBe(true);
      expect(made.row).toMatchObject({
        ...response,
        status: "pending",
        attempts: 0,
        version: 1,
        agentName: agent.name,
      });
      expect(made.agent).toMatchObject({ state: "busy", idleFrom: null, version: 2 });
      expect(made.agent.busyFrom).toEqual(expect.any(Number));
      const second = await store.insertResponse(agent.id, makeResponse(), ROOMY);
      expect(second.agent.busyFrom).toBe(made.agent.busyFrom);
      expect(second.row.seq).toBeGreaterThan(made.row.seq);
    });

    test("a sleeping agent stays asleep until its work is claimed", async () => {
      const store = open();
      const nodeId = makeName();
      const agent = await insertAgent(store, { state: "slept", nodeId });
      expect((await store.insertResponse(agent.id, makeResponse(), ROOMY)).agent.state).toBe("slept");
      await claim(store, agent, await store.beginReign(nodeId, null));
      expect(await store.getAgent(agent.id)).toMatchObject({ state: "busy", busyFrom: expect.any(Number) });
    });

    test("an agent that is gone, busy or full refuses, and nothing is kept", async () => {
      const store = open();
      const createdBy = makeName();
      const agent = await insertAgent(store);
      const insert = async (options: object): Promise<unknown> =>
        await store.insertResponse(agent.id, makeResponse({ createdBy }), { ...ROOMY, ...options });
      await expect(store.insertResponse(makeAgentId(), makeResponse(), ROOMY)).rejects.toMatchObject({
        code: "not_found",
      });
      await insert({ refuseBusy: true, maxQueued: 1, maxOfPrincipal: 1 });
      await expect(insert({ refuseBusy: true })).rejects.toMatchObject({ code: "agent_busy" });
      await expect(insert({ maxQueued: 1 })).rejects.toMatchObject({ code: "queue_full" });
      await expect(insert({ maxOfPrincipal: 1 })).rejects.toMatchObject({ code: "queue_full" });
      expect(await store.countResponses(agent.id)).toBe(1);
      await insert({ maxQueued: 2, maxOfPrincipal: 2 });
    });

    test("what runs or has ended takes no place in the queue", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      await store.insertResponse(agent.id, makeResponse(), { ...ROOMY, maxQueued: 1 });
      await store.finishResponse(row.id, fence, { status: "completed" });
      await expect(store.insertResponse(agent.id, makeResponse(), { ...ROOMY, maxQueued: 1 })).rejects.toMatchObject({
        code: "queue_full",
      });
    });

    test("the oldest is claimed first, also after it came back", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      const second = await post(store, agent);
      expect(await store.requeueResponse(row.id, fence)).toBe(true);
      expect(await store.findResponse(row.id)).toMatchObject({ status: "pending", startedAt: null, attempts: 1 });
      const again = await claim(store, agent, fence.reign);
      expect([again.row.id, again.row.attempts]).toEqual([row.id, 2]);
      expect((await claim(store, agent, fence.reign)).row.id).toBe(second.id);
      expect(await store.claimResponse(agent.id, agent.nodeId, fence.reign)).toBeUndefined();
    });

    test("an agent is idle once nothing waits or runs", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      expect((await store.settleAgent(agent.id, 50))?.state).toBe("busy");
      await store.finishResponse(row.id, fence, { status: "completed" });
      const later = await post(store, agent);
      expect((await store.settleAgent(agent.id, 50))?.state).toBe("busy");
      await store.endResponse(later.id, { status: "cancelled" });
      expect(await store.settleAgent(agent.id, 50)).toMatchObject({ state: "idle", idleFrom: 50, busyFrom: null });
      await store.updateAgent(agent.id, { state: "slept" });
      expect((await store.settleAgent(agent.id, 60))?.state).toBe("slept");
      expect(await store.settleAgent(makeAgentId(), 60)).toBeUndefined();
    });
  });
}

function testReading(open: () => StateStore): void {
  describe("state - reading responses", () => {
    test("lists are in the order of creation, with their segments", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      await store.appendSegments(row.id, fence, 0, [note("one"), note("two")]);
      const second = await post(store, agent);
      await store.insertMarker(agent.id, randomUUID(), [{ type: "slept", at: "now" }]);
      const list = async (query: object): Promise<unknown> => {
        const found = await store.listResponses(agent.id, { order: "asc", limit: 10, offset: 0, ...query });
        return found.map((each) => [each.row.status, each.segments.length]);
      };
      expect(await list({})).toEqual([
        ["processing", 2],
        ["pending", 0],
        ["completed", 1],
      ]);
      expect(await list({ order: "desc", limit: 2 })).toEqual([
        ["completed", 1],
        ["pending", 0],
      ]);
      expect(await list({ status: "pending", offset: 0 })).toEqual([["pending", 0]]);
      expect(await list({ limit: 0 })).toEqual([]);
      expect(await list({ offset: 3 })).toEqual([]);
      expect([await store.countResponses(agent.id), await store.countResponses(agent.id, "failed")]).toEqual([3, 0]);
      expect(await store.countWork(agent.nodeId)).toEqual({ pending: 1, processing: 1 });
      expect([await store.findNext(agent.id), await store.findNext(makeAgentId())]).toEqual([second.id, undefined]);
      const unfinished = await store.listUnfinished(agent.nodeId);
      expect(unfinished.map((found) => found.id)).toEqual([row.id, second.id]);
      // Thousands may wait, each with megabytes of input.
      for (const found of unfinished) expect(Object.keys(found).sort()).toEqual(["agentId", "id", "status"]);
    });

    test("segments are numbered from one, however many come at once", async () => {
      const store = open();
      const { row, fence } = await claimNew(store);
      const many = Array.from({ length: 2500 }, (_, index) => note(index + 1));
      expect(await store.appendSegments(row.id, fence, 0, [])).toBe(0);
      expect(await store.appendSegments(row.id, fence, 0, many.slice(0, 1))).toBe(1);
      expect(await store.appendSegments(row.id, fence, 1, many.slice(1))).toBe(2500);
      expect((await readWhole(store, row.id)).segments).toEqual(many);
      expect(await store.listSegments(row.id, 2498)).toEqual(many.slice(2498));
      expect(await store.listSegments(row.id, 3, 2)).toEqual(many.slice(3, 5));
      expect(await store.listSegments(row.id, 2500)).toEqual([]);
    });

    test("segments of any content come back, also large ones", async () => {
      const store = open();
      const { row, fence } = await claimNew(store);
      const segments = ["\u0000", "\ud800 \udc00", "\u001a0000", "x".repeat(3_000_000)].map(note);
      await store.appendSegments(row.id, fence, 0, segments);
      expect((await readWhole(store, row.id)).segments).toEqual(segments);
    });

    test("a marker has ended from the beginning", async () => {
      const store = open();
      const agent = await insertAgent(store);
      const id = randomUUID();
      const row = await store.insertMarker(agent.id, id, [note("slept")]);
      expect(row).toMatchObject({ id, status: "completed", outputContent: [], attempts: 0, input: { content: [] } });
      expect(await store.getResponse(id)).toEqual({ row, segments: [note("slept")] });
      expect((await store.getAgent(agent.id))?.state).toBe("idle");
      expect(await store.insertMarker(makeAgentId(), randomUUID(), [])).toBeUndefined();
    });
  });
}

function testChanges(open: () => StateStore): void {
  describe("state - changing a response", () => {
    test("each write makes the version one higher, segments included", async () => {
      const store = open();
      const { row, fence } = await claimNew(store);
      expect(row.version).toBe(2);
      await store.appendSegments(row.id, fence, 0, [note(1)]);
      expect((await store.findResponse(row.id))?.version).toBe(3);
      const amended = await store.amendResponse(row.id, { segments: [note(2)], input: "new" });
      expect(amended).toMatchObject({ version: 4, input: "new", outputContent: null });
      const outputContent = [{ type: "text", content: "done" }];
      const error = { code: "task_lost", message: "m\u0000", hint: "h", retryable: true };
      const end = { status: "failed", error, outputContent, segments: [note(3)] } as const;
      expect(await store.finishResponse(row.id, fence, end)).toBe(true);
      const whole = await readWhole(store, row.id);
      expect(whole.row).toMatchObject({ version: 5, status: "failed", error, outputContent });
      expect(whole.segments).toEqual([note(1), note(2), note(3)]);
      expect(await store.amendResponse(row.id, { segments: [note(4)] })).toMatchObject({
        version: 6,
        status: "failed",
      });
      expect(await store.amendResponse(randomUUID(), { segments: [] })).toBeUndefined();
    });

    test("a write that is tried again because its answer was lost happens once, whatever a client added meanwhile", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      const client = async (content: string): Promise<unknown> =>
        await store.amendResponse(row.id, { segments: [note(content)] });
      expect(await store.claimResponse(agent.id, fence.nodeId, fence.reign, true)).toEqual(row);
      await client("before");
      const append = async (after: number, ...contents: string[]): Promise<number | false> =>
        await store.appendSegments(row.id, fence, after, contents.map(note));
      expect(await append(0, "one", "two")).toBe(3);
      await client("between");
      expect(await append(0, "one", "two")).toBe(4);
      expect(await append(4, "two")).toBe(5);
      const end = { status: "completed", outputContent: [], segments: [note("end")] } as const;
      expect([await store.finishResponse(row.id, fence, end), await client("after")]).toEqual([
        true,
        expect.anything(),
      ]);
      const ended = await readWhole(store, row.id);
      expect(await store.finishResponse(row.id, fence, end)).toBe(true);
      expect(await store.finishResponse(row.id, fence, { ...end, segments: [note("other")] })).toBe(false);
      expect(await store.finishResponse(row.id, fence, { ...end, status: "failed" })).toBe(false);
      expect(await store.finishResponse(row.id, { ...fence, attempt: 2 }, end)).toBe(false);
      expect(await append(5, "late")).toBe(false);
      expect(await readWhole(store, row.id)).toEqual(ended);
      expect(ended.segments.map(({ content }) => content)).toEqual([
        "before",
        "one",
        "two",
        "between",
        "two",
        "end",
        "after",
      ]);
      expect(await store.claimResponse(agent.id, fence.nodeId, fence.reign, true)).toBeUndefined();
    });

    test("a client cannot add to a response without end", async () => {
      const store = open();
      const { row, fence } = await claimNew(store);
      const large = note("x".repeat(6 * 1024 * 1024));
      await store.amendResponse(row.id, { segments: [large] });
      await store.amendResponse(row.id, { segments: [large] });
      await expect(store.amendResponse(row.id, { segments: [large] })).rejects.toMatchObject({ code: "too_large" });
      const kept = await readWhole(store, row.id);
      expect([kept.row.version, kept.segments.length]).toEqual([4, 2]);
      expect(await store.finishResponse(row.id, fence, { status: "completed", segments: [note(1)] })).toBe(true);
    });

    test("an end that says nothing of output keeps what a client has put there", async () => {
      const store = open();
      const { row, fence } = await claimNew(store);
      const outputContent = [{ type: "text", content: "mine" }];
      await store.amendResponse(row.id, { segments: [], outputContent });
      await store.finishResponse(row.id, fence, { status: "completed" });
      expect((await store.findResponse(row.id))?.outputContent).toEqual(outputContent);
    });

    test("what has ended never changes its status again", async () => {
      const store = open();
      const { row, fence } = await claimNew(store);
      const ended = await store.endResponse(row.id, { status: "cancelled", segments: [note("by whom")] });
      expect(ended).toMatchObject({ status: "cancelled", finishedAt: expect.any(Number), version: 3 });
      expect(await store.endResponse(row.id, { status: "failed" })).toBeUndefined();
      expect(await store.finishResponse(row.id, fence, { status: "completed", segments: [note(1)] })).toBe(false);
      expect(await store.appendSegments(row.id, fence, 0, [note(1)])).toBe(false);
      expect(await store.requeueResponse(row.id, fence)).toBe(false);
      expect(await readWhole(store, row.id)).toEqual({ row: ended, segments: [note("by whom")] });
    });
  });
}
