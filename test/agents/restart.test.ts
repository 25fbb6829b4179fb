import { rmSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { makeVolumeId } from "../../src/model/ids.ts";
import { ALICE, World, type WorldOptions } from "./world.ts";

const worlds: World[] = [];

afterEach(async () => {
  const roots = new Set(worlds.map(({ root }) => root));
  for (const world of worlds.splice(0).reverse()) await world[Symbol.asyncDispose]();
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

async function open(options: WorldOptions = {}): Promise<World> {
  const world = await World.open(options);
  worlds.push(world);
  return world;
}

/** The process dies: its sandboxes go with it, and nothing is written. */
async function kill(world: World): Promise<void> {
  worlds.splice(worlds.indexOf(world), 1);
  await world.store[Symbol.asyncDispose]();
  await world.app.fleet[Symbol.asyncDispose]();
}

test("agents - a new process takes up what a dead one left", async () => {
  const first = await open();
  const { root } = first;
  const agent = await first.create("survivor");
  await first.run(agent, "echo kept > file");
  const idle = await first.create("idler");
  await first.reach(idle, "idle");
  const lost = await first.post(agent, "echo on; sleep 1000");
  await first.printed(lost);
  const waiting = await first.post(agent, "cat file");
  const other = await first.create("redo");
  const options = { idempotent: true };
  const redo = await first.post(other, "echo try >> tries; wc -l < tries; [ $(wc -l < tries) -gt 1 ] || sleep 1000", {
    options,
  });
  await first.printed(redo);
  const stray = makeVolumeId();
  await first.app.fleet.volumes.make(stray, 32 * 1024 * 1024);
  await kill(first);

  const second = await open({ root });
  expect(second.found).toEqual({ requeued: 1, lost: 1, woken: 2, volumesRemoved: 1 });
  expect((await second.ended(lost)).row).toMatchObject({ status: "failed", error: { code: "task_lost" } });
  const again = await second.ended(redo);
  expect(again.row).toMatchObject({ status: "completed", attempts: 2 });
  const ended = await second.ended(waiting);
  expect(ended.row.status).toBe("completed");
  expect(JSON.stringify(ended.segments)).toContain("kept");
  expect((await second.look(idle)).state).toBe("slept");
  expect(await second.markers(idle)).toMatchObject([{ type: "slept", reason: "server_restart", by: "system" }]);
  expect((await second.markers(agent)).map(({ reason }) => reason)).toEqual(["server_restart", "implicit_wake"]);
  expect([...(await second.volumes())].toSorted()).toEqual(
    [agent, idle, other].map(({ volumeId }) => volumeId as string).toSorted(),
  );
  expect(second.problems).toEqual([]);
  expect(second.events).toContainEqual(
    expect.objectContaining({ op: "server.change", phase: "workspace_removed", detail: stray }),
  );
});

test("agents - one whose workspace is gone says so, in the log and to each task until it sleeps", async () => {
  const world = await open();
  const agent = await world.create("robbed");
  await world.run(agent, "echo precious > file; sleep 0.01");
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
  await world.run(agent, "cat file");
  expect(world.problems).toEqual([]);
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
  await world.app.fleet.volumes.remove(agent.volumeId);
  for (const code of ["ls", "true"]) {
    const { row, segments } = await world.ended(await world.post(agent, code));
    expect([row.status, JSON.stringify(segments)]).toEqual([
      "completed",
      expect.stringContaining("this one began empty"),
    ]);
  }
  expect(JSON.stringify(world.problems)).toContain("agents.workspace");
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
  const { segments } = await world.ended(await world.post(agent, "true"));
  expect(JSON.stringify(segments)).not.toContain("began empty");
});

test("agents - what a process writes after another has taken over is refused", async () => {
  const first = await open();
  const agent = await first.create("fenced");
  const id = await first.post(agent, "echo on; while [ ! -e go ]; do sleep 0.01; done");
  await first.printed(id);
  const reign = await first.store.beginReign("node-test", null);
  const [claim] = await first.store.takeOverClaims("node-test", reign);
  await first.store.finishResponse(id, claim?.fence ?? { nodeId: "", reign: 0, attempt: 0 }, { status: "failed" });
  await (await first.agents.files(agent, AbortSignal.timeout(1000))).write("go", "");
  expect((await first.ended(id)).row.status).toBe("failed");
  await first.post(agent, "echo more");
  await expect.poll(() => JSON.stringify(first.problems)).toContain("fenced");
  await expect(first.post(agent, "echo more")).rejects.toMatchObject({ code: "draining" });
});

test("agents - drain lets short work end, hands the rest back and takes nothing new", async () => {
  const first = await open();
  const { root } = first;
  const agents = await Promise.all(["short", "long", "redo"].map((name) => first.create(name)));
  const [short, long, redo] = agents as [(typeof agents)[0], (typeof agents)[0], (typeof agents)[0]];
  const quick = await first.post(short, "echo on; while [ ! -e go ]; do sleep 0.01; done; echo done");
  const slow = await first.post(long, "echo on; sleep 1000");
  const again = await first.post(redo, "echo on; [ -e go ] || sleep 1000", { options: { idempotent: true } });
  const queued = await first.post(long, "echo queued");
  for (const id of [quick, slow, again]) await first.printed(id);
  const files = await Promise.all([short, redo].map((one) => first.agents.files(one, AbortSignal.timeout(1000))));
  const draining = first.agents.drain(1500);
  await expect(first.post(short, "echo no")).rejects.toMatchObject({ code: "draining" });
  for (const one of files) await one.write("go", "");
  expect(await draining).toEqual({ finished: 1, handedBack: 2 });
  expect((await first.ended(quick)).row.status).toBe("completed");
  expect((await first.ended(slow)).row).toMatchObject({ status: "failed", error: { code: "task_lost" } });
  expect(await first.store.findResponse(again)).toMatchObject({ status: "pending" });
  await first.agents[Symbol.asyncDispose]();
  for (const { id } of agents) expect((await first.store.getAgent(id))?.state).toBe("slept");
  await kill(first);

  const second = await open({ root });
  expect(second.found).toMatchObject({ requeued: 0, lost: 0, woken: 2 });
  expect((await second.ended(again)).row).toMatchObject({ status: "completed", attempts: 2 });
  expect((await second.ended(queued)).row.status).toBe("completed");
});
