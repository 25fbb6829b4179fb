import { afterEach, expect, test, vi } from "vitest";
import { ALICE, until, World, type WorldOptions } from "./world.ts";

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

let opened: World | undefined;

afterEach(async () => {
  vi.useRealTimers();
  await opened?.[Symbol.asyncDispose]();
  opened = undefined;
});

async function open(options: WorldOptions = {}): Promise<World> {
  opened = await World.open(options);
  return opened;
}

/** Sets the wall clock of this process; monotonic clocks and timers go on as they were. */
function setClockBy(ms: number): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });
}

test.each([HOUR_MS, -HOUR_MS])(
  "agents - a wall clock that is set by %i ms ends no task and puts no agent to sleep",
  async (stepMs) => {
    const world = await open();
    const busy = await world.create("busy", { busyTimeoutSeconds: 600 });
    const idle = await world.create("idle", { idleTimeoutSeconds: 600 });
    await world.run(idle, "true");
    const running = await world.post(busy, "echo on; while [ ! -e go ]; do sleep 0.01; done");
    await world.printed(running);
    await world.reach(idle, "idle");
    setClockBy(stepMs);
    const short = await world.create("short", { idleTimeoutSeconds: 1 });
    await world.reach(short, "idle");
    // Timeouts still hold, forward and back: this one ends after the others were looked at.
    await world.reach(short, "slept");
    expect([(await world.look(busy)).state, (await world.look(idle)).state]).toEqual(["busy", "idle"]);
    expect((await world.agents.runtime(idle)).currentSeconds).toBeLessThan(600);
    await (await world.agents.files(busy, AbortSignal.timeout(10_000))).write("go", "");
    expect((await world.ended(running)).row.status).toBe("completed");
    await world.agents.sleep(idle, { delaySeconds: 0 }, ALICE);
    const [slept] = await world.markers(idle);
    expect(slept?.["runtime_seconds"]).toBeLessThan(600);
  },
);

test("agents - a wall clock that is set a month ahead and back removes no response; ages that are reached do", async () => {
  const world = await open({ tuning: { pruneMs: 1000 } });
  const agent = await world.create("kept");
  const id = await world.post(agent, "true");
  await world.ended(id);
  setClockBy(30 * DAY_MS);
  await until(async () => (world.problems.length > 0 ? true : undefined));
  expect((world.problems as { error: unknown }[]).map(({ error }) => String(error)).join()).toMatch(
    /^Error: the clock was set by 259\d+ s/,
  );
  vi.useRealTimers();
  await until(async () => (world.problems.length > 1 ? true : undefined));
  expect(await world.store.getResponse(id)).toBeDefined();
  setClockBy(30 * DAY_MS);
  await until(async () => ((await world.store.getResponse(id)) === undefined ? true : undefined));
});
