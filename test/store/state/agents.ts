import { describe, expect, test } from "vitest";
import { makeAgentId } from "../../../src/model/ids.ts";
import type { StateStore } from "../../../src/store/state-store.ts";
import { insertAgent, makeAgent, makeName, makeResponse, post } from "./samples.ts";

/** Texts that a database refuses, cuts or folds together when it is handed them as they are. */
export const ODD_TEXTS = [
  "nul\u0000nul",
  "lone high \ud83d.",
  "lone low \udd8a.",
  "sub \u001a0000 \u001a",
  "pair 🦊 and combining é",
  "quotes ' \" ` \\ \\u0000 %_",
  "",
  "\ufeffbom \u2028 \uffff",
];

const GIB = 1024 ** 3;

export function testAgents(open: () => StateStore): void {
  describe("state - agents", () => {
    test("an agent is given back as it was stored", async () => {
      const agent = makeAgent({
        description: "What it does",
        metadata: { deep: [1, { "": null }], __proto__: 1 },
        tags: ["a/b", "c-d"],
        lastActivityAt: 5,
        idleFrom: 6,
        busyFrom: 7,
        contextCutoffAt: 8,
        lastContextLength: 9,
        published: { at: 10, by: "ann" },
        publicationRevision: "r1",
        publishPermissions: { code: false, env: false, content: true },
        setupReport: {
          status: "failed",
          exit_code: 0,
          started_at: "2026-01-01T00:00:00.000Z",
          duration_ms: 1.5,
          stdout: "\u0000",
          stderr: "",
        },
        missingCopy: { parentId: makeAgentId(), code: true, env: false, needsPublication: true },
      });
      const { agent: made, isNew } = await open().insertAgent(agent);
      expect(isNew).toBe(true);
      expect(made).toEqual({ ...agent, version: 1 });
      expect(await open().getAgent(agent.id)).toEqual(made);
    });

    test.each(ODD_TEXTS)("text %j survives in every field", async (text) => {
      const store = open();
      const agent = makeAgent({ description: text, createdBy: text, metadata: { [text]: text } });
      const { agent: made } = await store.insertAgent(agent);
      expect(made).toEqual({ ...agent, version: 1 });
      const row = await post(store, made, { createdBy: text, input: text });
      expect((await store.findResponse(row.id))?.input).toBe(text);
      expect((await store.findResponse(row.id))?.createdBy).toBe(text);
    });

    test("texts that differ in one unstorable character are two principals", async () => {
      const names = ["x\u0000", "x\ufffd", "x\ud800", "x\ud801", "x\u001a0000"].map((name) => name + makeName());
      for (const name of names) expect(await open().block(name, "User", 1)).toBe(true);
      for (const name of names) expect(await open().block(name, "User", 1)).toBe(false);
    });

    test("names are unique and found without regard to case", async () => {
      const store = open();
      const agent = await insertAgent(store);
      await expect(insertAgent(store, { name: agent.name.toUpperCase() })).rejects.toMatchObject({
        code: "name_taken",
      });
      expect((await store.findAgent(agent.name.toUpperCase()))?.id).toBe(agent.id);
      expect((await store.findAgent(agent.name))?.name).toBe(agent.name);
      expect(await store.findAgent(makeName())).toBeUndefined();
    });

    test("an agent and its first response are made together or not at all", async () => {
      const store = open();
      const first = makeResponse();
      const agent = makeAgent({ state: "init" });
      await store.insertAgent(agent, { first });
      expect(await store.getAgent(agent.id)).toMatchObject({ state: "init", version: 1 });
      expect(await store.findResponse(first.id)).toMatchObject({
        status: "pending",
        agentName: agent.name,
        version: 1,
      });
      const late = makeResponse();
      await expect(store.insertAgent(makeAgent({ name: agent.name }), { first: late })).rejects.toThrow();
      expect(await store.findResponse(late.id)).toBeUndefined();
    });

    test("an update changes what it names and only in the states it allows", async () => {
      const store = open();
      const agent = await insertAgent(store, { description: "old", idleFrom: 3 });
      const idle = await store.updateAgent(
        agent.id,
        { description: null, idleFrom: null },
        { states: ["idle", "init"] },
      );
      expect(idle).toEqual({ ...agent, description: null, idleFrom: null, version: 2 });
      expect(await store.updateAgent(agent.id, { state: "slept" }, { states: ["busy"] })).toBeUndefined();
      expect(await store.updateAgent(agent.id, { state: "slept" }, { states: [] })).toBeUndefined();
      expect(await store.updateAgent(makeAgentId(), { state: "slept" })).toBeUndefined();
      expect(await store.getAgent(agent.id)).toEqual(idle);
    });

    test("a removed agent takes its responses and files along, and its children lose its name", async () => {
      const store = open();
      const parent = await insertAgent(store);
      const child = await insertAgent(store, { parentName: parent.name });
      expect(child.parentName).toBe(parent.name);
      const row = await post(store, parent);
      const files = [{ path: "a", artifactKey: "k", bytes: 1, sha256: "0" }];
      const permissions = parent.publishPermissions;
      await store.replacePublished(parent.id, { published: { at: 1, by: "ann" }, revision: "r1", permissions, files });
      const before = await store.getAgent(parent.id);
      expect(await store.deleteAgent(parent.id)).toEqual(before);
      expect(await store.deleteAgent(parent.id)).toBeUndefined();
      expect(await store.findResponse(row.id)).toBeUndefined();
      expect((await store.getAgent(child.id))?.parentName).toBeNull();
      await insertAgent(store, { name: parent.name });
      expect((await store.getAgent(child.id))?.parentName).toBeNull();
      expect((await insertAgent(store, { parentName: makeName() })).parentName).toBeNull();
    });
  });

  describe("state - lists of agents", () => {
    test("filters join, the newest comes first, and the total counts all pages", async () => {
      const store = open();
      const creator = makeName();
      const facts = [
        { createdAt: 10, tags: ["red", "big"], description: "The 100% ÄPFEL_thing" },
        { createdAt: 20, tags: ["red"], state: "slept" },
        { createdAt: 20, tags: ["redder"] },
      ] as const;
      const made = [];
      for (const fact of facts) made.push(await insertAgent(store, { createdBy: creator, ...fact }));
      const [oldest, middle, newest] = made.map((agent) => agent.id);
      const list = async (query: object): Promise<readonly string[]> => {
        const { items, total } = await store.listAgents({ createdBy: creator, limit: 10, offset: 0, ...query });
        expect(total).toBe(items.length);
        return items.map((agent) => agent.id);
      };
      expect(await list({})).toEqual([newest, middle, oldest]);
      expect(await list({ tags: ["red"] })).toEqual([middle, oldest]);
      expect(await list({ tags: ["red", "big"] })).toEqual([oldest]);
      expect(await list({ state: "slept" })).toEqual([middle]);
      expect(await list({ state: "nonsense" })).toEqual([]);
      expect(await list({ text: "100% äpfel_T" })).toEqual([oldest]);
      expect(await list({ text: "100_" })).toEqual([]);
      expect(await list({ text: made[1]?.name.toUpperCase() })).toEqual([middle]);
      expect(await list({ text: "\u0000\ud800" })).toEqual([]);
      const page = await store.listAgents({ createdBy: creator, limit: 1, offset: 1 });
      expect([page.items.map((agent) => agent.id), page.total]).toEqual([[middle], 3]);
    });

    test("lists leave out what only a sandbox needs: it may be megabytes for each agent", async () => {
      const store = open();
      const createdBy = makeName();
      await insertAgent(store, { createdBy });
      const [listed] = (await store.listAgents({ createdBy, limit: 1, offset: 0 })).items;
      expect(listed).toHaveProperty("metadata");
      for (const field of ["settings", "setupReport"]) expect(listed).not.toHaveProperty(field);
    });

    test("a principal has no more agents than it is given; others are not counted", async () => {
      const store = open();
      const createdBy = makeName();
      const make = async (by: string) => await store.insertAgent(makeAgent({ createdBy: by }), { maxOfPrincipal: 2 });
      const { agent } = await make(createdBy);
      await make(createdBy);
      await expect(make(createdBy)).rejects.toMatchObject({ code: "quota_reached" });
      expect((await make(makeName())).isNew).toBe(true);
      await store.deleteAgent(agent.id);
      expect((await make(createdBy)).isNew).toBe(true);
    });

    test("a principal's workspaces have no more bytes together than it is given; a workspace of no given size counts as the default", async () => {
      const store = open();
      const createdBy = makeName();
      const make = async (workspace_bytes?: number, by = createdBy) => {
        const { settings } = makeAgent();
        const limits = workspace_bytes === undefined ? {} : { workspace_bytes };
        const agent = makeAgent({ createdBy: by, settings: { ...settings, limits } });
        return await store.insertAgent(agent, { maxWorkspaceBytes: 3 * GIB });
      };
      const { agent } = await make();
      await make(2 * GIB);
      await expect(make(1)).rejects.toMatchObject({ code: "quota_reached" });
      await make(3 * GIB, makeName());
      await store.deleteAgent(agent.id);
      await expect(make(GIB + 1)).rejects.toMatchObject({ code: "quota_reached" });
      expect((await make(GIB)).isNew).toBe(true);
    });

    test("a data folder lists its own agents", async () => {
      const store = open();
      const nodeId = makeName();
      const agent = await insertAgent(store, { nodeId });
      await insertAgent(store, { nodeId: `${nodeId}x` });
      const found = await store.listAgentsOf(nodeId);
      expect(found.map(({ id }) => id)).toEqual([agent.id]);
      expect(found[0]).not.toHaveProperty("settings");
      expect(await store.countAgents(nodeId)).toEqual({ [agent.state]: 1 });
      expect(await store.countAgents(makeName())).toEqual({});
    });
  });
}
