import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ALICE, World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await World.open();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

test("room - a workspace that is in use is waited for, and no idle agent sleeps for it", async () => {
  const [waiting, idle] = [await world.create("waiting"), await world.create("idle")];
  for (const agent of [waiting, idle]) await world.reach(agent, "idle");
  await world.agents.sleep(waiting, { delaySeconds: 0 }, ALICE);
  const { fleet } = world.app;
  const porter = await fleet.openVolumePorter(waiting.volumeId, false, AbortSignal.timeout(30_000));
  const leases = vi.spyOn(fleet, "lease");
  const id = await world.post(waiting, "echo done");
  const refusals = (): readonly unknown[] =>
    leases.mock.settledResults.filter(({ type }) => type === "rejected").map(({ value }) => value as unknown);
  await vi.waitFor(() => expect(refusals().length).toBeGreaterThan(1), { timeout: 30_000 });
  expect(refusals()[0]).toMatchObject({ code: "capacity", context: { step: "workspace in use" } });
  expect([(await world.look(idle)).state, await world.markers(idle)]).toEqual(["idle", []]);
  await porter[Symbol.asyncDispose]();
  expect((await world.ended(id)).row.status).toBe("completed");
  expect(await world.markers(idle)).toEqual([]);
  leases.mockRestore();
});
