import { totalmem } from "node:os";
import { afterEach, expect, test } from "vitest";
import type { AgentRow } from "../../src/model/agent.ts";
import { ALICE, makePrincipal, until, World, type WorldOptions } from "./world.ts";

let opened: World | undefined;

afterEach(async () => {
  await opened?.[Symbol.asyncDispose]();
  opened = undefined;
});

async function open(options: WorldOptions = {}): Promise<World> {
  opened = await World.open(options);
  return opened;
}

/** Holds its slot until a file `go` appears. */
const HOLD = "echo on; while [ ! -e go ]; do sleep 0.01; done";

async function letGo(world: World, agent: AgentRow): Promise<void> {
  await (await world.agents.files(agent, AbortSignal.timeout(10_000))).write("go", "");
}

test("agents - idle and busy agents sleep when their time is over, each with its reason", async () => {
  const world = await open();
  const idle = await world.create("idle", { idleTimeoutSeconds: 1 });
  const busy = await world.create("busy", { busyTimeoutSeconds: 1 });
  const running = await world.post(busy, "echo on; sleep 1000");
  const waiting = await world.post(busy, "echo never");
  for (const id of [running, waiting]) {
    const { row, segments } = await world.ended(id);
    expect(row.status).toBe("cancelled");
    expect(segments.find(({ type }) => type === "cancelled")).toMatchObject({ reason: "busy_timeout" });
  }
  const [dozed] = await until(async () => orUndefined(await world.markers(idle)));
  expect(dozed).toMatchObject({ note: "Idle timeout", reason: "idle_timeout", by: "system" });
  const [slept] = await until(async () => orUndefined(await world.markers(busy)));
  expect(slept).toMatchObject({ note: "Busy timeout", reason: "busy_timeout", delay_seconds: 0 });
  expect(slept?.["runtime_seconds"]).toBeGreaterThanOrEqual(1);
  const { totalSeconds, currentSeconds } = await world.agents.runtime(busy);
  expect(currentSeconds).toBe(0);
  expect(totalSeconds).toBeGreaterThanOrEqual(1);
});

const orUndefined = <T>(list: readonly T[]): readonly T[] | undefined => (list.length === 0 ? undefined : list);

test("agents - two principals get slots in turn, however much one of them has queued", async () => {
  const world = await open({ service: { maxRunning: 1 } });
  const bob = makePrincipal("bob");
  const gate = await world.create("gate");
  const held = await world.post(gate, HOLD);
  await world.printed(held);
  const greedy = await Promise.all([1, 2, 3, 4].map((n) => world.create(`alice-${n}`)));
  const modest = await world.create("bob-1", {}, {}, bob);
  const ids: string[] = [];
  for (const agent of greedy) ids.push(await world.post(agent, "true"));
  const late = await world.post(modest, "true", { by: bob });
  await letGo(world, gate);
  for (const id of [...ids, late]) expect((await world.ended(id)).row.status).toBe("completed");
  const order = world.events.flatMap((event) => (event.op === "task.run" ? [event.agent] : []));
  expect(order.indexOf("bob-1")).toBeLessThanOrEqual(2);
});

test("agents - an agent that needs room gets that of the one that has been idle longest, and waits for a busy one", async () => {
  const world = await open({ config: { overcommit: 1 } });
  const [limits, whole] = halfOfTheMachine();
  const first = await world.create("first", {}, { limits });
  await world.reach(first, "idle");
  const second = await world.create("second", {}, { limits: whole });
  await world.reach(second, "idle");
  expect((await world.look(first)).state).toBe("slept");
  const [marker] = await world.markers(first);
  expect(marker).toMatchObject({ type: "slept", reason: "capacity", note: "Others needed the room", by: "system" });
  const held = await world.post(second, HOLD);
  await world.printed(held);
  const id = await world.post(first, "echo there");
  await until(async () => ((await world.store.findResponse(id))?.status === "processing" ? true : undefined));
  await letGo(world, second);
  expect((await world.ended(id)).row.status).toBe("completed");
});

test("agents - one principal's tasks never take all slots, however long they run", async () => {
  const world = await open({ service: { maxRunning: 2, maxRunningPerPrincipal: 1 } });
  const bob = makePrincipal("bob");
  const [first, second] = [await world.create("alice-1"), await world.create("alice-2")];
  await world.printed(await world.post(first, HOLD));
  const waiting = await world.post(second, "true");
  const modest = await world.create("bob-1", {}, {}, bob);
  expect((await world.ended(await world.post(modest, "true", { by: bob }))).row.status).toBe("completed");
  expect((await world.store.findResponse(waiting))?.status).toBe("pending");
  await letGo(world, first);
  expect((await world.ended(waiting)).row.status).toBe("completed");
});

test("agents - who needs room loses an idle agent of its own first, and others' only while it has fewer sandboxes", async () => {
  const world = await open({ config: { overcommit: 1 }, tuning: { capacityWaitMs: 300 } });
  const [limits] = halfOfTheMachine();
  const bob = makePrincipal("bob");
  const create = async (name: string, by: typeof bob): Promise<AgentRow> =>
    await world.create(name, {}, { limits }, by);
  const oldest = await create("alice-1", ALICE);
  await world.reach(oldest, "idle");
  const own = await create("bob-1", bob);
  await world.reach(own, "idle");
  const next = await create("bob-2", bob);
  await world.reach(next, "idle");
  expect([(await world.look(oldest)).state, (await world.look(own)).state]).toEqual(["idle", "slept"]);
  await world.printed(await world.post(next, HOLD, { by: bob }));
  const { row } = await world.ended(await world.post(own, "true", { by: bob }));
  expect(row).toMatchObject({ status: "failed", error: { code: "capacity" } });
  expect((await world.look(oldest)).state).toBe("idle");
  const carols = await create("carol-1", makePrincipal("carol"));
  await world.reach(carols, "idle");
  expect((await world.look(oldest)).state).toBe("slept");
  await letGo(world, next);
});

test("agents - a task that finds no room in time fails with capacity", async () => {
  const world = await open({ config: { overcommit: 1 }, tuning: { capacityWaitMs: 200 } });
  const [limits, whole] = halfOfTheMachine();
  const big = await world.create("big", {}, { limits: whole });
  const held = await world.post(big, HOLD);
  await world.printed(held);
  const agent = await world.create("late", {}, { limits });
  const { row } = await world.ended(await world.post(agent, "true"));
  expect(row).toMatchObject({ status: "failed", error: { code: "capacity", retryable: true } });
  await letGo(world, big);
  expect(await world.run(agent, "echo there")).toBe("there\n");
});

test("agents - a sandbox that would not fit an empty machine takes nobody's room", async () => {
  const world = await open({ config: { overcommit: 1 } });
  const bystander = await world.create("bystander", {}, {}, makePrincipal("bob"));
  await world.reach(bystander, "idle");
  const vast = await world.create("vast", {}, { limits: { memory_bytes: 2 ** 40 } });
  const { row } = await world.ended(await world.post(vast, "true"));
  expect(row).toMatchObject({ status: "failed", error: { code: "capacity" } });
  expect((await world.look(bystander)).state).toBe("idle");
  expect(await world.markers(bystander)).toEqual([]);
});

test("agents - the queue of an agent is bounded, and one task at a time for who asks for it", async () => {
  const world = await open({ service: { maxQueuedPerAgent: 2 } });
  const agent = await world.create("bounded");
  const held = await world.post(agent, HOLD);
  await world.printed(held);
  await expect(world.post(agent, "true", { refuseBusy: true })).rejects.toMatchObject({ code: "agent_busy" });
  await world.post(agent, "true");
  await world.post(agent, "true");
  await expect(world.post(agent, "true")).rejects.toMatchObject({ code: "queue_full" });
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
});

test("agents - strangers fill half of a published agent's queue, and its owner still gets in", async () => {
  const world = await open({ service: { maxQueuedPerAgent: 4 } });
  const agent = await world.create("shop");
  await world.printed(await world.post(agent, HOLD));
  const stranger = { by: makePrincipal("bob"), mayWake: false };
  for (let count = 0; count < 2; count++) await world.post(agent, "true", stranger);
  await expect(world.post(agent, "true", stranger)).rejects.toMatchObject({ code: "queue_full" });
  for (let count = 0; count < 2; count++) await world.post(agent, "true");
  await expect(world.post(agent, "true")).rejects.toMatchObject({ code: "queue_full" });
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
});

/** Limits of memory that fit once, and ones that leave no room beside them. */
function halfOfTheMachine() {
  const memory = totalmem() * 0.9;
  return [{ memory_bytes: Math.floor(memory * 0.45) }, { memory_bytes: Math.floor(memory * 0.9) }] as const;
}
