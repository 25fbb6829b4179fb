import { describe, expect, test } from "vitest";
import type { AgentId } from "../../../src/model/ids.ts";
import { makeAgentId } from "../../../src/model/ids.ts";
import type { NewPublication, PublishedFile } from "../../../src/store/state-store/publications.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { insertAgent, makeName } from "./samples.ts";

const makeFile = (path: string, artifactKey: string): PublishedFile => ({ path, artifactKey, bytes: 3, sha256: "ab" });

const makePublication = (revision: string, files: readonly PublishedFile[]): NewPublication => ({
  published: { at: 1, by: "ann" },
  revision,
  permissions: { code: false, env: false, content: true },
  files,
});
const makeEnd = (revision: string): NewPublication => ({ ...makePublication(revision, []), published: null });

export function testPublished(open: () => StateStore): void {
  const replace = async (id: AgentId, publication: NewPublication): Promise<readonly string[] | undefined> =>
    (await open().replacePublished(id, publication))?.unused;

  describe("state - published files", () => {
    test("files take the place of those before, and keys that nobody needs come back", async () => {
      const store = open();
      const agent = await insertAgent(store);
      const keys = [0, 1, 2].map(() => makeName()) as [string, string, string];
      const path = `long/${"ä\u0000".repeat(2000)}`;
      const first = makePublication("r1", [makeFile("a", keys[0]), makeFile(path, keys[1])]);
      expect(await replace(agent.id, first)).toEqual([]);
      expect(await store.findPublishedFile(agent.name.toUpperCase(), path)).toEqual(makeFile(path, keys[1]));
      const second = makePublication("r2", [makeFile("a", keys[1]), makeFile("c", keys[2])]);
      expect(await replace(agent.id, second)).toEqual([keys[0]]);
      expect(await store.findPublishedFile(agent.name, path)).toBeUndefined();
      expect(await store.findPublishedFile(agent.name, "a")).toEqual(makeFile("a", keys[1]));
      expect(await store.findPublishedFile(agent.name, "A")).toBeUndefined();
    });

    test("a key that another agent publishes is needed", async () => {
      const store = open();
      const [one, other] = [await insertAgent(store), await insertAgent(store)];
      const shared = makeName();
      for (const agent of [one, other]) await replace(agent.id, makePublication("r", [makeFile("a", shared)]));
      expect(await replace(one.id, makeEnd("e"))).toEqual([]);
      expect(await replace(other.id, makeEnd("e"))).toEqual([shared]);
    });

    test("the agent says what is published, and the end of a publication hides its files", async () => {
      const store = open();
      const agent = await insertAgent(store);
      const publication = makePublication("r", [makeFile("a", "k")]);
      const { permissions, published } = publication;
      const shown = await store.replacePublished(agent.id, publication);
      expect(shown?.agent).toEqual({
        ...agent,
        ...{ published, publicationRevision: "r", publishPermissions: permissions, version: 2 },
      });
      expect(await store.getAgent(agent.id)).toEqual(shown?.agent);
      const hidden = await store.replacePublished(agent.id, makeEnd("e"));
      expect(hidden?.agent).toMatchObject({ published: null, publicationRevision: "e", version: 3 });
      expect(await store.findPublishedFile(agent.name, "a")).toBeUndefined();
    });

    test("a publication that began before another one or before an end of one changes nothing", async () => {
      const store = open();
      const agent = await insertAgent(store);
      const late = makePublication("late", [makeFile("a", "late")]);
      const first = await store.replacePublished(agent.id, makePublication("r1", [makeFile("a", "k1")]), null);
      expect(first?.agent.publicationRevision).toBe("r1");
      expect(await store.replacePublished(agent.id, late, null)).toBeUndefined();
      expect(await store.getAgent(agent.id)).toEqual(first?.agent);
      expect(await store.findPublishedFile(agent.name, "a")).toMatchObject({ artifactKey: "k1" });
      await store.replacePublished(agent.id, makeEnd("e1"));
      expect(await store.replacePublished(agent.id, late, "r1")).toBeUndefined();
      await store.replacePublished(agent.id, makeEnd("e2"));
      expect(await store.replacePublished(agent.id, late, "e1")).toBeUndefined();
      expect((await store.getAgent(agent.id))?.published).toBeNull();
      expect((await store.replacePublished(agent.id, late, "e2"))?.unused).toEqual([]);
    });

    test("published agents are listed by the time of publication", async () => {
      const store = open();
      const creator = makeName();
      const late = await insertAgent(store, {
        createdBy: creator,
        createdAt: 1,
        published: { at: 9, by: creator },
      });
      const early = await insertAgent(store, {
        createdBy: creator,
        createdAt: 2,
        published: { at: 8, by: creator },
      });
      await insertAgent(store, { createdBy: creator });
      const { items } = await store.listAgents({ createdBy: creator, publishedOnly: true, limit: 9, offset: 0 });
      expect(items.map((agent) => agent.id)).toEqual([late.id, early.id]);
    });

    test("nothing is published of an agent that is gone", async () => {
      expect(await open().replacePublished(makeAgentId(), makePublication("r", [makeFile("a", "k")]))).toBeUndefined();
    });
  });
}
