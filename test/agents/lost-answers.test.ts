import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { AgentRow } from "../../src/model/agent.ts";
import { makeAgent } from "../store/state/samples.ts";
import { lacks } from "../support/needs.ts";
import { hasPostgres, TestPostgres } from "../support/postgres.ts";
import { PostgresWire } from "../support/postgres-wire.ts";
import { ALICE, BARE, World } from "./world.ts";

/** Commits that happened and whose answer was lost: the work is done once, and nobody waits for it for ever. */

const KEY = { principal: "alice", key: "k", hash: "h" };
const FAILED = { code: "state_failed" };

describe.skipIf(lacks(hasPostgres(), "the Debian package postgresql"))("agents - a lost answer of the database", () => {
  let postgres: TestPostgres;
  let wire: PostgresWire;
  let world: World;

  beforeAll(async () => {
    postgres = await TestPostgres.start();
    wire = await PostgresWire.open(postgres);
  });
  afterEach(async () => await world[Symbol.asyncDispose]());
  afterAll(async () => {
    await wire[Symbol.asyncDispose]();
    await postgres[Symbol.asyncDispose]();
  });

  const open = async (): Promise<World> => {
    world = await World.open({ databaseUrl: wire.makeUrl(await postgres.createDatabase()) });
    return world;
  };
  const openWithAgent = async (): Promise<AgentRow> => {
    const agent = await (await open()).create("one");
    return await world.reach(agent, "idle");
  };
  const listIds = async (agent: AgentRow): Promise<readonly string[]> =>
    (await world.store.listResponses(agent.id, { order: "asc", limit: 9, offset: 0 })).map(({ row }) => row.id);

  test.each([false, true])("a post that was refused for it is run; with the key again: %s", async (again) => {
    const agent = await openWithAgent();
    const lost = wire.lose(/^insert into "responses"/);
    await expect(world.post(agent, "echo on", { key: KEY })).rejects.toMatchObject(FAILED);
    await lost;
    const [id = ""] = await listIds(agent);
    if (again) expect(await world.post(agent, "echo on", { key: KEY })).toBe(id);
    expect((await world.ended(id)).row).toMatchObject({ status: "completed", attempts: 1 });
    await world.reach(agent, "idle");
    expect(await listIds(agent)).toEqual([id]);
  });

  test("an agent whose create was refused for it begins, and its prompt is run", async () => {
    await open();
    const lost = wire.lose(/^insert into "agents"/);
    await expect(world.create("made", { prompt: "```bash\necho on\n```" })).rejects.toMatchObject(FAILED);
    await lost;
    const agent = await world.store.findAgent("made");
    if (agent === undefined) throw new Error("it was not made");
    const [id = ""] = await listIds(agent);
    expect((await world.ended(id)).row.status).toBe("completed");
    await world.reach(agent, "idle");
  });

  test("an agent that nobody has begun begins when its create is sent again", async () => {
    await open();
    const { agent } = await world.store.insertAgent(makeAgent({ state: "init", nodeId: "node-test", settings: BARE }), {
      key: KEY,
    });
    const { name, description, metadata, tags, idleTimeoutSeconds, busyTimeoutSeconds, settings } = agent;
    const again = { name, description, metadata, tags, idleTimeoutSeconds, busyTimeoutSeconds, settings, prompt: null };
    expect((await world.agents.create(again, ALICE, KEY)).id).toBe(agent.id);
    await world.reach(agent, "idle");
  });

  test("a claim is run, and once", async () => {
    const agent = await openWithAgent();
    const lost = wire.lose(/"attempts" = attempts \+ 1/);
    const first = await world.post(agent, "echo one >> tries");
    const second = await world.post(agent, "cat tries");
    await lost;
    expect((await world.ended(first)).row).toMatchObject({ status: "completed", attempts: 1 });
    expect(JSON.stringify((await world.ended(second)).segments)).toContain('"one\\n"');
    await world.reach(agent, "idle");
  });

  test.each([
    ["a segment", /^update "responses" set "version" = version \+ 1, "updated_at" = \$1, "segment_count"/],
    ["the end", /^update "responses" set "status" = \$1, "finished_at"/],
  ])("%s is stored once, and the task ends as it did", async (_, statement) => {
    const agent = await openWithAgent();
    const lost = wire.lose(statement);
    const id = await world.post(agent, "echo on");
    await lost;
    const { row, segments } = await world.ended(id);
    expect(row).toMatchObject({ status: "completed", attempts: 1 });
    expect(segments.map(({ type }) => type)).toEqual(["tool_call", "tool_result", "commentary"]);
    await world.reach(agent, "idle");
    const ends = world.events.flatMap((event) => (event.op === "task.run" ? [event.status] : []));
    expect(ends).toEqual(["completed"]);
  });

  test("a cancel stops the task when it is sent again", async () => {
    const agent = await openWithAgent();
    const id = await world.post(agent, "echo on; sleep 1000");
    await world.printed(id);
    const lost = wire.lose(/^update "responses" set "status" = \$1, "finished_at"/);
    await expect(world.agents.cancelResponse(agent, id)).rejects.toMatchObject(FAILED);
    await lost;
    expect(await world.agents.cancelResponse(agent, id)).toBe(false);
    expect((await world.ended(id)).segments.filter(({ type }) => type === "cancelled")).toHaveLength(1);
    expect((await world.look(agent)).state).toBe("idle");
    expect(await world.run(agent, "echo next")).toBe("next\n");
  });

  test("a sleep ends the sandbox", async () => {
    const agent = await openWithAgent();
    const lost = wire.lose(/^update "agents" set "state"/);
    const asleep = await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
    await lost;
    expect(asleep.state).toBe("slept");
    expect((await world.agents.details(agent)).sandboxId).toBeNull();
    expect((await world.markers(agent)).map(({ type }) => type)).toEqual(["slept"]);
    expect(await world.run(agent, "echo on")).toBe("on\n");
  });
});
