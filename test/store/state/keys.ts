import { describe, expect, test } from "vitest";
import type { IdempotencyKey } from "../../../src/store/state-store/responses.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { insertAgent, makeAgent, makeName, makeResponse, ROOMY } from "./samples.ts";

const makeKey = (facts: Partial<IdempotencyKey> = {}): IdempotencyKey => ({
  principal: "ann",
  key: makeName(),
  hash: "h1",
  ...facts,
});

export function testKeys(open: () => StateStore): void {
  describe("state - idempotency keys", () => {
    test("the same request gives the first result", async () => {
      const store = open();
      const key = makeKey();
      const first = await store.insertAgent(makeAgent(), { key });
      await store.updateAgent(first.agent.id, { description: "since then" });
      const again = await store.insertAgent(makeAgent({ name: first.agent.name }), { key });
      expect(again).toMatchObject({ isNew: false, agent: { id: first.agent.id, description: "since then" } });

      const responseKey = makeKey();
      const posted = await store.insertResponse(first.agent.id, makeResponse(), { ...ROOMY, key: responseKey });
      const options = { refuseBusy: true, maxQueued: 0, maxOfPrincipal: 0, key: responseKey };
      const repeated = await store.insertResponse(first.agent.id, makeResponse(), options);
      expect(repeated).toMatchObject({ isNew: false, row: { id: posted.row.id }, agent: { id: first.agent.id } });
      expect(await store.countResponses(first.agent.id)).toBe(1);
    });

    test("another request under the key is refused; another principal has keys of its own", async () => {
      const store = open();
      const agent = await insertAgent(store);
      const key = makeKey();
      const insert = async (used: IdempotencyKey): Promise<boolean> =>
        (await store.insertResponse(agent.id, makeResponse(), { ...ROOMY, key: used })).isNew;
      expect(await insert(key)).toBe(true);
      await expect(insert({ ...key, hash: "h2" })).rejects.toMatchObject({ code: "idempotency_conflict" });
      await expect(store.insertAgent(makeAgent(), { key: { ...key, hash: "h2" } })).rejects.toMatchObject({
        code: "idempotency_conflict",
      });
      expect(await insert({ ...key, principal: "bob" })).toBe(true);
    });

    test("a request that was refused leaves its key free", async () => {
      const store = open();
      const key = makeKey();
      const taken = await insertAgent(store);
      await expect(store.insertAgent(makeAgent({ name: taken.name }), { key })).rejects.toMatchObject({
        code: "name_taken",
      });
      expect((await store.insertAgent(makeAgent(), { key })).isNew).toBe(true);
    });

    test("a request is not carried out again because its result was deleted", async () => {
      const store = open();
      const key = makeKey();
      const { agent } = await store.insertAgent(makeAgent(), { key });
      await store.deleteAgent(agent.id);
      await expect(store.insertAgent(makeAgent(), { key })).rejects.toMatchObject({ code: "idempotency_conflict" });
    });
  });
}
