import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { AgentRow } from "../../../src/model/agent.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { insertAgent, makeResponse, note, ROOMY, type StateSubject, startStore } from "./samples.ts";

const KIB = 1024;
const MOST = 200 * KIB;

export function testPrincipalBytes(subject: StateSubject): void {
  describe(`state on ${subject.name} - the bytes of one principal`, () => {
    const fill = async (store: StateStore, agent: AgentRow, by: string, bytes: number, key?: string) => {
      const response = makeResponse({ createdBy: by, input: { content: "x".repeat(bytes) } });
      const keyed = key === undefined ? {} : { key: { principal: by, key, hash: "h" } };
      return (await store.insertResponse(agent.id, response, { ...ROOMY, ...keyed, maxBytes: MOST })).row;
    };

    test("its oldest ended responses go for new ones, and nobody else's", async () => {
      await using store = await startStore(await subject.makeDatabase());
      const agent = await insertAgent(store);
      const others = await fill(store, agent, "bob", 150 * KIB);
      await store.endResponse(others.id, { status: "completed" });
      const ids: string[] = [];
      for (let count = 0; count < 50; count++) {
        const { id } = await fill(store, agent, "ann", 20 * KIB);
        await store.endResponse(id, { status: "completed" });
        ids.push(id);
      }
      const kept = await Promise.all(ids.map(async (id) => (await store.findResponse(id)) !== undefined));
      expect(kept.lastIndexOf(false)).toBeGreaterThan(35);
      expect(kept.slice(-5)).toEqual([true, true, true, true, true]);
      expect(await store.findResponse(others.id)).toBeDefined();
    });

    test("what has not ended stays, and with no room left nothing more is taken", async () => {
      await using store = await startStore(await subject.makeDatabase());
      const agent = await insertAgent(store);
      const waiting: string[] = [];
      for (let count = 0; count < 9; count++) waiting.push((await fill(store, agent, "ann", 20 * KIB)).id);
      const refused = fill(store, agent, "ann", 20 * KIB);
      await expect(refused).rejects.toMatchObject({ code: "quota_reached" });
      await expect(
        store.amendResponse(waiting[0] ?? "", { segments: [note("x".repeat(40 * KIB))] }, MOST),
      ).rejects.toMatchObject({ code: "quota_reached" });
      expect(await store.countResponses(agent.id)).toBe(9);
      expect((await fill(store, agent, "bob", 20 * KIB)).createdBy).toBe("bob");
      await store.endResponse(waiting[0] ?? "", { status: "cancelled" });
      expect((await fill(store, agent, "ann", 20 * KIB)).createdBy).toBe("ann");
      expect(await store.findResponse(waiting[0] ?? "")).toBeUndefined();
    });

    test("what an agent's owner adds to a response is the owner's, and nobody's history goes for it", async () => {
      await using store = await startStore(await subject.makeDatabase());
      const agent = await insertAgent(store, { createdBy: "owner" });
      const own = await insertAgent(store, { createdBy: "guest" });
      const history = await fill(store, own, "guest", 20 * KIB);
      await store.endResponse(history.id, { status: "completed" });
      const posted = await fill(store, agent, "guest", 10);
      const add = async () => await store.amendResponse(posted.id, { segments: [note("x".repeat(60 * KIB))] }, MOST);
      for (let count = 0; count < 3; count++) await add();
      await expect(add()).rejects.toMatchObject({ code: "quota_reached" });
      await fill(store, own, "guest", 100 * KIB);
      expect(await store.findResponse(history.id)).toBeDefined();
      await expect(fill(store, agent, "owner", 20 * KIB)).rejects.toMatchObject({ code: "quota_reached" });
    });

    test("rows and keys count, however small their texts are", async () => {
      await using store = await startStore(await subject.makeDatabase());
      const agent = await insertAgent(store);
      const tiny = async (): Promise<number> => {
        for (let count = 0; count < 500; count++)
          if ((await fill(store, agent, "ann", 1, randomUUID()).catch(() => undefined)) === undefined) return count;
        return 500;
      };
      const fits = await tiny();
      expect(fits).toBeGreaterThan(50);
      expect(fits).toBeLessThan(MOST / 1100);
    });
  });
}
