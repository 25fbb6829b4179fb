import { describe, expect, test } from "vitest";
import { makeAgentId } from "../../../src/model/ids.ts";
import type { PublishedFile, StateStore } from "../../../src/store/state-store.ts";
import { insertAgent, makeName } from "./samples.ts";

const makeFile = (path: string, artifactKey: string): PublishedFile => ({ path, artifactKey, bytes: 3, sha256: "ab" });

export function testPublished(open: () => StateStore): void {
  describe("state - published files", () => {
    test("files take the place of those before, and keys that nobody needs come back", async () => {
      const store = open();
      const agent = await insertAgent(store, { published: { at: 1, by: "ann", revision: "r1" } });
      const keys = [0, 1, 2].map(() => makeName()) as [string, string, string];
      const path = `long/${"ä\u0000".repeat(2000)}`;
      expect(await store.replacePublished(agent.id, "r1", [makeFile("a", keys[0]), makeFile(path, keys[1])])).toEqual(
        [],
      );
      expect(await store.findPublishedFile(agent.name.toUpperCase(), path)).toEqual(makeFile(path, keys[1]));
      const unused = await store.replacePublished(agent.id, "r2", [makeFile("a", keys[1]), makeFile("c", keys[2])]);
      expect(unused).toEqual([keys[0]]);
      expect(await store.findPublishedFile(agent.name, path)).toBeUndefined();
      expect(await store.findPublishedFile(agent.name, "a")).toEqual(makeFile("a", keys[1]));
      expect(await store.findPublishedFile(agent.name, "A")).toBeUndefined();
    });

    test("a key that another agent publishes is needed", async () => {
      const store = open();
      const [one, other] = [await insertAgent(store), await insertAgent(store)];
      const shared = makeName();
      for (const agent of [one, other]) await store.replacePublished(agent.id, "r", [makeFile("a", shared)]);
      expect(await store.replacePublished(one.id, null, [])).toEqual([]);
      expect(await store.replacePublished(other.id, null, [])).toEqual([shared]);
    });

    test("the end of a publication hides its files at once", async () => {
      const store = open();
      const agent = await insertAgent(store, { published: { at: 1, by: "ann", revision: "r" } });
      await store.replacePublished(agent.id, "r", [makeFile("a", "k")]);
      await store.updateAgent(agent.id, { published: null });
      expect(await store.findPublishedFile(agent.name, "a")).toBeUndefined();
      await store.updateAgent(agent.id, { published: { at: 2, by: "ann", revision: "r" } });
      await store.replacePublished(agent.id, null, []);
      expect((await store.getAgent(agent.id))?.published).toBeNull();
      expect(await store.findPublishedFile(agent.name, "a")).toBeUndefined();
    });

    test("published agents are listed by the time of publication", async () => {
      const store = open();
      const creator = makeName();
      const late = await insertAgent(store, {
        createdBy: creator,
        createdAt: 1,
        published: { at: 9, by: creator, revision: "r" },
      });
      const early = await insertAgent(store, {
        createdBy: creator,
        createdAt: 2,
        published: { at: 8, by: creator, revision: "r" },
      });
      await insertAgent(store, { createdBy: creator });
      const { items } = await store.listAgents({ createdBy: creator, publishedOnly: true, limit: 9, offset: 0 });
      expect(items.map((agent) => agent.id)).toEqual([late.id, early.id]);
    });

    test("files of an agent that is gone are needed by nobody", async () => {
      expect(await open().replacePublished(makeAgentId(), "r", [makeFile("a", "k1"), makeFile("b", "k2")])).toEqual([
        "k1",
        "k2",
      ]);
    });
  });
}
