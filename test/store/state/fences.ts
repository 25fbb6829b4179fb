import { describe, expect, test } from "vitest";
import type { Fence } from "../../../src/store/state-store/responses.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { claim, claimNew, makeName, note, post, readWhole } from "./samples.ts";

/** Every write that needs a claim; each has to be refused. */
async function expectRefused(store: StateStore, id: string, fence: Fence): Promise<void> {
  const before = await readWhole(store, id);
  expect(await store.appendSegments(id, fence, 0, [note("late")])).toBe(false);
  expect(await store.requeueResponse(id, fence)).toBe(false);
  expect(await store.finishResponse(id, fence, { status: "completed", segments: [note("late")] })).toBe(false);
  expect(await readWhole(store, id)).toEqual(before);
}

export function testFences(open: () => StateStore): void {
  describe("state - fences", () => {
    test("a write needs the node, the reign and the attempt of the claim", async () => {
      const store = open();
      const { row, fence } = await claimNew(store);
      await expectRefused(store, row.id, { ...fence, nodeId: makeName() });
      await expectRefused(store, row.id, { ...fence, reign: fence.reign + 1 });
      await expectRefused(store, row.id, { ...fence, reign: 0 });
      await expectRefused(store, row.id, { ...fence, attempt: fence.attempt + 1 });
      expect(await store.finishResponse(row.id, fence, { status: "completed" })).toBe(true);
    });

    test("a claim is over after a requeue, and stays over when the response is claimed again", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      await store.requeueResponse(row.id, fence);
      await expectRefused(store, row.id, fence);
      const again = await claim(store, agent, fence.reign);
      await expectRefused(store, row.id, fence);
      expect(await store.appendSegments(row.id, again.fence, 0, [note(1)])).toBe(1);
    });

    test("a new reign fences claims from the moment it begins", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      await post(store, agent);
      const reign = await store.beginReign(agent.nodeId, null);
      expect(reign).toBe(fence.reign + 1);
      await expectRefused(store, row.id, fence);
      await expect(store.claimResponse(agent.id, agent.nodeId, fence.reign)).rejects.toMatchObject({ code: "fenced" });
      await expect(store.takeOverClaims(agent.nodeId, fence.reign)).rejects.toMatchObject({ code: "fenced" });
      await expect(store.claimResponse(agent.id, makeName(), 1)).rejects.toMatchObject({ code: "fenced" });
    });

    test("claims of earlier reigns are taken over once, and their proof works", async () => {
      const store = open();
      const { agent, row, fence } = await claimNew(store);
      await post(store, agent);
      const second = await claim(store, agent, fence.reign);
      const reign = await store.beginReign(agent.nodeId, null);
      const taken = await store.takeOverClaims(agent.nodeId, reign);
      expect(taken.map((each) => each.row.id)).toEqual([row.id, second.row.id]);
      expect(taken[0]?.fence).toEqual({ nodeId: agent.nodeId, reign, attempt: 1 });
      expect(await store.takeOverClaims(agent.nodeId, reign)).toEqual([]);
      await expectRefused(store, row.id, fence);
      for (const each of taken) expect(await store.requeueResponse(each.row.id, each.fence)).toBe(true);
      expect((await claim(store, agent, reign)).row).toMatchObject({ id: row.id, attempts: 2 });
    });

    test("reigns of other data folders are left alone", async () => {
      const store = open();
      const [one, other] = [await claimNew(store), await claimNew(store)];
      await store.beginReign(one.agent.nodeId, null);
      expect(await store.appendSegments(other.row.id, other.fence, 0, [note(1)])).toBe(1);
      expect(await store.claimResponse(one.agent.id, other.agent.nodeId, other.fence.reign)).toBeUndefined();
    });

    test("the URL of a data folder is the one that its last server gave", async () => {
      const store = open();
      const nodeId = makeName();
      expect(await store.findNodeUrl(nodeId)).toBeUndefined();
      await store.beginReign(nodeId, "http://one");
      await store.beginReign(nodeId, "http://two");
      expect(await store.findNodeUrl(nodeId)).toBe("http://two");
      await store.beginReign(nodeId, null);
      expect(await store.findNodeUrl(nodeId)).toBeUndefined();
    });
  });
}
