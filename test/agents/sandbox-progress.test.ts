import { afterAll, beforeAll, expect, test } from "vitest";
import { SandboxProgress } from "../../src/agents/awake/sandbox-progress.ts";
import type { AgentServices } from "../../src/agents/core/agent-services.ts";
import type { LiveEvent } from "../../src/agents/events/live-events.ts";
import { Responses } from "./responses.ts";
import { ALICE, until, World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await World.open({ service: { setupTimeoutMs: 120_000 } });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const describeEvent = (event: LiveEvent): string => {
  if (event.type === "status" || event.type === "done") return `${event.type} ${event.status}`;
  return event.type === "phase" ? [event.phase, event.detail].filter(Boolean).join(" ") : event.type;
};

test("live - a task that waits for its agent's sandbox is told what is made, also what was before it came", async () => {
  const agent = await world.create("opening", {}, { setup: "sleep 1000" });
  await until(async () => ((await world.volumes()).includes(agent.volumeId) ? true : undefined));
  const id = await world.post(agent, "true");
  const seen: LiveEvent[] = [];
  for await (const event of world.agents.follow(id, undefined, AbortSignal.timeout(30_000))) {
    seen.push(event);
    if (event.type === "phase" && event.phase === "setup")
      await world.agents.sleep(await world.look(agent), { delaySeconds: 0 }, ALICE);
  }
  const shown = seen.map(describeEvent).filter((line) => !/^sandbox ./.test(line));
  expect(shown).toEqual(["status pending", "sandbox", "setup", "segment", "done cancelled"]);
  expect(world.problems).toEqual([]);
});

test("live - of several that wait the next one is told; every status comes once and every id in order", async () => {
  await using responses = await Responses.open();
  const { store, live } = responses;
  const problems: unknown[] = [];
  const telemetry = { record: () => undefined, problem: (_where: string, error: unknown) => problems.push(error) };
  const news = new SandboxProgress({ store, logs: live, telemetry } as unknown as AgentServices, responses.agent.id);
  const read = (id: string, after?: string) => live.follow(id, after, new AbortController().signal);
  news.add("sandbox");
  const [first, second] = [await responses.post({ content: [] }), await responses.post({ content: [] })];
  const reader = read(first.id);
  expect(describeEvent((await reader.next()).value as LiveEvent)).toBe("status pending");
  news.add("sandbox", "building the python template");
  expect(describeEvent((await reader.next()).value as LiveEvent)).toBe("sandbox");
  await store.endResponse(first.id, { status: "cancelled" });
  live.changed(first.id);
  expect((await Array.fromAsync(reader as AsyncIterable<LiveEvent>)).at(-1)).toMatchObject({ type: "done" });
  news.add("setup");
  await news[Symbol.asyncDispose]();
  await responses.claim();
  await store.endResponse(second.id, { status: "completed" });
  live.close(second.id);
  const events = await Array.fromAsync(read(second.id));
  expect(events.map((event) => `${event.id} ${describeEvent(event)}`)).toEqual([
    "0.0 status pending",
    "0.1 sandbox",
    "0.2 sandbox building the python template",
    "0.3 setup",
    "0.4 status processing",
    "0.5 done completed",
  ]);
  expect(await Array.fromAsync(read(second.id, "0.2"))).toEqual(events.slice(3));
  expect(problems).toEqual([]);
});
