import { afterAll, beforeAll, expect, test } from "vitest";
import type { AgentRow } from "../../src/model/agent.ts";
import { ALICE, until, World } from "./world.ts";

/** Orders that come while a response is being claimed, when it is neither waiting nor running. */

const ROUNDS = 6;
let world: World;

beforeAll(async () => {
  world = await World.open();
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** A task that only an order ends, and as many turns of the loop as the round has. */
async function beginEndless(name: string, round: number) {
  const agent = await world.create(`${name}-${round}`);
  await world.reach(agent, "idle");
  const id = await world.post(agent, "sleep 300");
  for (let turn = 0; turn < round; turn++) await new Promise(setImmediate);
  return { agent, id };
}

test("agents - a task that is cancelled while it is claimed does not run on", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { agent, id } = await beginEndless("cancelled", round);
    expect(await world.agents.cancelResponse(agent, id)).toBe(true);
    expect(await world.run(agent, "echo next")).toBe("next\n");
    await world.agents.remove(agent);
  }
});

test("agents - cancel finds the task that is being claimed", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { agent, id } = await beginEndless("found", round);
    expect([round, await world.agents.cancel(agent)]).toEqual([round, true]);
    expect((await world.ended(id)).row.status).toBe("cancelled");
    expect(await world.run(agent, "echo next")).toBe("next\n");
    await world.agents.remove(agent);
  }
});

test("agents - sleep ends the task that is being claimed", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { agent, id } = await beginEndless("slept", round);
    await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
    expect((await world.ended(id)).row.status).toBe("cancelled");
    await world.agents.remove(agent);
  }
});

test("agents - deletion ends the task that is being claimed", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { agent } = await beginEndless("removed", round);
    await world.agents.remove(agent);
    await until(async () => ((await world.store.getAgent(agent.id)) === undefined ? true : undefined));
  }
});

test("agents - an agent that is deleted as soon as its row can be seen leaves no workspace", async () => {
  const remove = async (agent: AgentRow): Promise<void> => {
    if (agent.name === "gone") await own.agents.remove(agent);
  };
  await using own = await World.open({ onInserted: remove });
  const gone = await own.create("gone");
  // Made after it in the same way: what the other one begins is there by now.
  const next = await own.create("next");
  await own.reach(next, "idle");
  expect(await own.store.getAgent(gone.id)).toBeUndefined();
  expect(await own.volumes()).toEqual([next.volumeId]);
});
