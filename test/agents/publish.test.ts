import { afterAll, beforeAll, expect, test } from "vitest";
import type { AgentRow } from "../../src/model/agent.ts";
import type { ArtifactStore } from "../../src/store/artifact-store.ts";
import { ALICE, makePrincipal, World } from "./world.ts";

let world: World;
const BOB = makePrincipal("bob");
const ALL = { code: true, env: true, content: true };

beforeAll(async () => {
  world = await World.open();
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** Acts right before the next artifact is stored. */
function beforeNextPut(artifacts: ArtifactStore, act: () => Promise<void>): void {
  const put = artifacts.put.bind(artifacts);
  artifacts.put = async (...given) => {
    artifacts.put = put;
    await act();
    return await put(...given);
  };
}

async function makeParent(name: string): Promise<AgentRow> {
  const setup = "echo made >> /agent/content/setups";
  const parent = await world.create(name, { tags: ["a/b"], metadata: { x: 1 } }, { setup, env: { KEY: "secret" } });
  await world.run(
    parent,
    "echo page > content/index.html; mkdir data; echo 1 > data/d; echo no > other; echo yes > README.md",
  );
  return await world.look(parent);
}

test.each(["awake", "asleep"])("agents - a remix copies the workspace of a parent that is %s", async (how) => {
  const parent = await makeParent(`parent-${how}`);
  if (how === "asleep") await world.agents.sleep(parent, { delaySeconds: 0 }, ALICE);
  const request = { name: `child-${how}`, code: true, env: true, prompt: "```bash\nls\n```" };
  const child = await world.agents.remix(await world.look(parent), request, BOB);
  expect(child).toMatchObject({
    state: "init",
    createdBy: "bob",
    parentName: parent.name,
    tags: ["a/b"],
    metadata: { x: 1 },
  });
  const listed = await world.run(child, "ls -A; cat content/setups; . ./.env; echo $KEY");
  expect(listed).toBe(".env\nREADME.md\ncode\ncontent\ndata\nlogs\nmade\nmade\nsecret\n");
  const [first] = await world.store.listResponses(child.id, { order: "asc", limit: 1, offset: 0 });
  expect(first?.row).toMatchObject({ status: "completed", createdBy: "bob" });
  expect(await world.run(parent, "cat content/index.html")).toBe("page\n");
});

test("agents - a remix without code and environment has neither", async () => {
  const parent = await makeParent("guarded");
  const child = await world.agents.remix(parent, { name: "bare-child", code: false, env: false, prompt: null }, BOB);
  expect(await world.run(child, "ls code; cat .env; cat content/setups")).toBe("made\n");
});

test("agents - what is asked of an agent that was deleted meanwhile leaves no workspace behind", async () => {
  const parent = await makeParent("deleted");
  await world.agents.remove(parent);
  const request = { name: "incomplete", code: true, env: true, prompt: null };
  const child = await world.agents.remix(parent, request, BOB);
  await world.reach(child, "idle");
  expect((await world.agents.details(child)).setup?.stderr).toContain("Agent not found");
  const { segments } = await world.ended(await world.post(child, "true"));
  expect(segments[0]).toMatchObject({ type: "note", level: "warning" });
  expect(segments[0]?.["text"]).toContain("could not be copied");
  await expect(world.agents.publish(parent, ALL, ALICE)).rejects.toMatchObject({ code: "not_found" });
  expect(await world.volumes()).not.toContain(parent.volumeId);
});

test("agents - publishing serves a snapshot until it is replaced or withdrawn", async () => {
  const agent = await makeParent("site");
  const published = await world.agents.publish(agent, ALL, ALICE);
  expect(published.published).toMatchObject({ by: "alice" });
  const read = async (): Promise<string | undefined> => {
    const file = await world.store.findPublishedFile("site", "index.html");
    if (file === undefined) return undefined;
    const { content } = await world.app.artifacts.get(file.artifactKey);
    return Buffer.concat(await Array.fromAsync(content)).toString();
  };
  expect(await read()).toBe("page\n");
  const [old] = (await world.app.artifacts.list({ prefix: "published/" })).artifacts;
  await world.run(agent, "echo second > content/index.html");
  expect(await read()).toBe("page\n");
  await world.agents.sleep(await world.look(agent), { delaySeconds: 0 }, ALICE);
  await world.agents.publish(await world.look(agent), ALL, ALICE);
  expect((await world.look(agent)).state).toBe("slept");
  expect(await read()).toBe("second\n");
  const keys = (await world.app.artifacts.list({ prefix: "published/" })).artifacts.map(({ key }) => key);
  expect(keys).not.toContain(old?.key);
  const hidden = await world.agents.unpublish(await world.look(agent));
  expect(hidden.published).toBeNull();
  expect(await read()).toBeUndefined();
  expect((await world.app.artifacts.list({ prefix: "published/" })).artifacts).toEqual([]);
});

test.each([
  ["unpublished", "published", (agent: AgentRow) => world.agents.unpublish(agent)],
  ["unpublished", "new", (agent: AgentRow) => world.agents.unpublish(agent)],
  ["published", "published", (agent: AgentRow) => world.agents.publish(agent, ALL, ALICE)],
])("agents - one that is %s while a publish of it is under way stays so; it was %s", async (then, before, act) => {
  const agent = await makeParent(`${then}-${before}`);
  if (before === "published") await world.agents.publish(agent, ALL, ALICE);
  const { artifacts } = world.app;
  let shown: AgentRow | undefined;
  beforeNextPut(artifacts, async () => {
    shown = await act(agent);
  });
  await expect(world.agents.publish(agent, ALL, ALICE)).rejects.toMatchObject({ code: "superseded" });
  expect(await world.look(agent)).toMatchObject({
    published: shown?.published,
    publicationRevision: shown?.publicationRevision,
  });
  const stored = (await artifacts.list({ prefix: `published/${agent.id}/` })).artifacts;
  expect(stored.every(({ key }) => key.includes(shown?.publicationRevision ?? ""))).toBe(true);
  expect(stored.length > 0).toBe(then === "published");
});

test("agents - clearing the context lets a full agent work again", async () => {
  const agent = await world.create("full");
  await world.store.updateAgent(agent.id, { lastContextLength: 128_000 });
  await expect(world.post(agent, "true")).rejects.toThrow(
    "Context is full (128000 / 128000 tokens). Clear context via POST /api/v0/agents/full/context/clear and try again.",
  );
  const cleared = await world.agents.clearContext(agent, "compact");
  expect(cleared.lastContextLength).toBe(0);
  expect(await world.run(agent, "echo on")).toBe("on\n");
});
