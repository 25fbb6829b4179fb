import { afterAll, beforeAll, expect, test } from "vitest";
import { ALICE, World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await World.open();
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

test("agents - a new agent is there at once, becomes idle, runs what is posted and keeps /agent", async () => {
  const agent = await world.create("first");
  expect(agent).toMatchObject({ name: "first", state: "init", createdBy: "alice" });
  await world.reach(agent, "idle");
  const id = await world.post(agent, "pwd; echo one > kept; ls");
  expect(await world.store.findResponse(id)).toMatchObject({ agentId: agent.id });
  const { row, segments } = await world.ended(id);
  expect(row).toMatchObject({ status: "completed", attempts: 1, error: null });
  expect(segments.map(({ type }) => type)).toEqual(["tool_call", "tool_result", "commentary"]);
  expect(segments[1]?.["output"]).toMatchObject({ stdout: "/agent\ncode\ncontent\nkept\nlogs\n", exit_code: 0 });
  await world.reach(agent, "idle");
  expect(await world.run(agent, "cat kept")).toBe("one\n");
  expect(world.problems).toEqual([]);
});

test("agents - tasks posted at once run one after another, in their order, also while the agent is being made", async () => {
  const agent = await world.create("queue");
  const ids: string[] = [];
  for (let n = 1; n <= 5; n++) ids.push(await world.post(agent, `echo begin ${n} >> log; echo end ${n} >> log`));
  expect((await world.look(agent)).state).toBe("busy");
  for (const id of ids) expect((await world.ended(id)).row.status).toBe("completed");
  const lines = [1, 2, 3, 4, 5].flatMap((n) => [`begin ${n}`, `end ${n}`]);
  expect(await world.run(agent, "cat log")).toBe(`${lines.join("\n")}\n`);
});

test("agents - what cannot be run ends as failed, visibly", async () => {
  const agent = await world.create("failing");
  const bad = await world.ended(await world.post(agent, "hm", { input: { nothing: true } }));
  expect(bad.row).toMatchObject({ status: "failed", error: { code: "no_plan" } });
  const misspelled = { content: [{ type: "pyhton", content: "1" }] };
  const unknown = await world.ended(await world.post(agent, "hm", { input: misspelled }));
  expect(unknown.row).toMatchObject({ error: { code: "no_plan", message: expect.stringContaining('"pyhton"') } });
  expect(unknown.segments).toMatchObject([
    {
      type: "note",
      level: "info",
      text: expect.stringContaining('"pyhton", which nothing here runs (known: text, python'),
    },
    { type: "commentary" },
  ]);
  const nonzero = await world.ended(await world.post(agent, "echo why >&2; exit 3"));
  expect(nonzero.row).toMatchObject({ status: "failed", error: { code: "nonzero" } });
  expect(nonzero.row.outputContent).toMatchObject([
    { type: "text", title: "Result" },
    { type: "json", title: "metrics" },
  ]);
  await world.reach(agent, "idle");
});

test("agents - sleep ends the sandbox and everything that waits, wake brings the workspace back", async () => {
  const agent = await world.create("sleeper");
  await world.run(agent, "echo kept > /agent/file; echo lost > /tmp/file");
  const running = await world.post(agent, "echo on; sleep 1000");
  const waiting = await world.post(agent, "echo never");
  await world.printed(running);
  const asleep = await world.agents.sleep(await world.look(agent), { delaySeconds: 0 }, ALICE);
  expect(asleep.state).toBe("slept");
  for (const id of [running, waiting]) {
    const { row, segments } = await world.ended(id);
    expect(row.status).toBe("cancelled");
    expect(segments.filter(({ type }) => type === "cancelled")).toMatchObject([{ reason: "user" }]);
  }
  await expect(world.agents.files(asleep, AbortSignal.timeout(1000))).rejects.toMatchObject({ code: "agent_sleeping" });
  await expect(world.agents.sleep(asleep, { delaySeconds: 0 }, ALICE)).rejects.toThrow("Agent is already sleeping");
  const woken = await world.agents.wake(asleep, null, ALICE);
  expect(woken.state).toBe("init");
  await world.reach(agent, "idle");
  await expect(world.agents.wake(woken, null, ALICE)).rejects.toThrow(
    "Cannot wake agent in idle state - only sleeping agents can be woken",
  );
  expect(await world.run(agent, "cat /agent/file; ls /tmp")).toBe("kept\n");
  expect(await world.markers(agent)).toMatchObject([
    { type: "slept", note: "User requested sleep", reason: "user", by: "alice", delay_seconds: 0, runtime_seconds: 0 },
    { type: "woke", note: "User wake", reason: "user_wake", by: "alice" },
  ]);
});

test("agents - a task wakes a sleeping agent, and only the allowed may", async () => {
  const agent = await world.create("dozer");
  await world.reach(agent, "idle");
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
  await expect(world.post(agent, "echo no", { mayWake: false })).rejects.toMatchObject({ code: "forbidden" });
  const posted = await Promise.all([world.post(agent, "echo 1"), world.post(agent, "echo 2")]);
  for (const id of posted) expect((await world.ended(id)).row.status).toBe("completed");
  const markers = await world.markers(agent);
  expect(markers.map(({ reason }) => reason)).toEqual(["user", "implicit_wake"]);
  const rows = await world.store.listResponses(agent.id, { order: "asc", limit: 10, offset: 0 });
  expect(rows[1]?.segments).toMatchObject([{ type: "woke", note: "Incoming request" }]);
});

test("agents - a deleted agent is gone with its workspace and its tasks, and its name is free", async () => {
  const agent = await world.create("mortal");
  await world.run(agent, "echo old > file");
  const running = await world.post(agent, "echo on; sleep 1000");
  await world.printed(running);
  const removing = world.agents.remove(agent);
  await expect(world.post(agent, "echo late")).rejects.toMatchObject({ code: "not_found" });
  await removing;
  expect(await world.store.getAgent(agent.id)).toBeUndefined();
  expect(await world.store.findResponse(running)).toBeUndefined();
  expect(await world.volumes()).not.toContain(agent.volumeId);
  const again = await world.create("Mortal");
  expect(await world.run(again, "ls")).toBe("code\ncontent\nlogs\n");
  expect(world.problems).toEqual([]);
});

test("agents - files are those of the workspace, and are waited for while the agent is made", async () => {
  const agent = await world.create("files");
  const files = await world.agents.files(agent, AbortSignal.timeout(10_000));
  await files.write("content/a.txt", "hello");
  expect((await files.list("content")).entries.map(({ path }) => path)).toEqual(["content/a.txt"]);
  expect(await world.run(agent, "cat content/a.txt")).toBe("hello");
});

test("agents - a workspace that something uses while its agent is deleted goes with a later sweep", async () => {
  const agent = await world.create("read");
  await world.reach(agent, "idle");
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
  const { fleet } = world.app;
  const reader = await fleet.openVolumePorter(agent.volumeId, true, AbortSignal.timeout(30_000));
  await world.agents.remove(agent);
  expect(await world.store.getAgent(agent.id)).toBeUndefined();
  expect((await fleet.reap()).failed).toMatchObject([{ id: agent.volumeId }]);
  expect((await reader.sandbox.files.list(".")).entries.map(({ path }) => path)).toContain("code");
  await reader.close();
  expect(await fleet.reap()).toMatchObject({ reaped: [agent.volumeId], failed: [] });
  expect(await world.volumes()).not.toContain(agent.volumeId);
});
