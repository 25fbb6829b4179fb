import { afterAll, beforeAll, expect, test } from "vitest";
import type { AgentRow } from "../../src/model/agent.ts";
import { World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await World.open();
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const COMPLETED = { status: "completed", segments: [] } as const;

/** What still runs of a program that was started with this argument. */
async function countLiving(agent: AgentRow, argument: string): Promise<number> {
  const count = `n=0; for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f | grep -q '^sleep ${argument}' && n=$((n+1)); done; echo $n`;
  return Number(await world.run(agent, `${count} 2>/dev/null`));
}

test("agents - cancel kills the whole tree, background children too, and the agent takes the next task", async () => {
  const agent = await world.create("cancel");
  const script = "sleep 7771 & (setsid sleep 7771 &) ; (trap '' TERM; echo on; sleep 7771)";
  const id = await world.post(agent, script);
  await world.printed(id);
  expect(await world.agents.cancel(agent)).toBe(true);
  expect((await world.look(agent)).state).toBe("idle");
  const { row, segments } = await world.ended(id);
  expect(row.status).toBe("cancelled");
  expect(segments.at(-1)).toMatchObject({ type: "cancelled", reason: "user_cancel" });
  expect(await countLiving(agent, "7771")).toBe(0);
  const later = await world.ended(id);
  expect(later.row).toEqual(row);
  expect(later.segments).toEqual(segments);
});

test.each([
  ["cancel", (agent: AgentRow, id: string) => world.agents.cancelResponse(agent, id)],
  ["a client's own end", (agent: AgentRow, id: string) => world.agents.amend(agent, id, COMPLETED)],
])("agents - %s answers when the task's processes are dead, and the agent is idle no sooner", async (name, end) => {
  const agent = await world.create(`dead-${name.replaceAll(/\W/g, "-")}`);
  const id = await world.post(agent, "trap '' TERM; echo on; while :; do echo more >> file; done");
  await world.printed(id);
  const files = await world.agents.files(agent, AbortSignal.timeout(10_000));
  const ending = end(agent, id);
  await world.reach(agent, "idle");
  const { size: whenIdle } = await files.stat("file");
  await ending;
  const { size } = await files.stat("file");
  expect(await world.run(agent, "stat -c %s file")).toBe(`${size}\n`);
  expect(whenIdle).toBe(size);
});

test("agents - cancel ends what a task has left in the background, not what an earlier one has", async () => {
  const agent = await world.create("background");
  const background = (argument: string) => ({
    tool: "run_command",
    input: { command: `sleep ${argument}`, background: true },
  });
  const post = async (calls: readonly object[]): Promise<string> =>
    await world.post(agent, "", { input: { content: [{ type: "tool_calls", content: calls }] } });
  expect((await world.ended(await post([background("7772")]))).row.status).toBe("completed");
  const id = await post([background("7773"), { tool: "run_command", input: { command: "echo on; sleep 1000" } }]);
  await world.printed(id);
  expect(await world.agents.cancelResponse(agent, id)).toBe(true);
  expect(await countLiving(agent, "7773")).toBe(0);
  expect(await countLiving(agent, "7772")).toBe(1);
});

test("agents - cancel takes the newest that waits when nothing runs, and says when there is nothing", async () => {
  const agent = await world.create("waiting", {}, { setup: "sleep 1000" });
  const first = await world.post(agent, "echo first");
  const second = await world.post(agent, "echo second");
  expect(await world.agents.cancelResponse(agent, second)).toBe(true);
  expect(await world.agents.cancelResponse(agent, second)).toBe(false);
  expect((await world.ended(second)).row.status).toBe("cancelled");
  expect(await world.agents.cancel(agent)).toBe(true);
  expect((await world.ended(first)).row.status).toBe("cancelled");
  expect(await world.agents.cancel(agent)).toBe(false);
  await expect(world.agents.cancelResponse(agent, "none")).rejects.toThrow("Response not found");
  await world.agents.remove(agent);
});

test("agents - a client's own end stands: the task is killed and writes nothing more", async () => {
  const agent = await world.create("amended");
  const id = await world.post(agent, "echo on; sleep 1000");
  await world.printed(id);
  const note = { type: "note", level: "info", text: "done by hand" };
  const amended = await world.agents.amend(agent, id, { status: "completed", segments: [note] });
  expect(amended.row.status).toBe("completed");
  expect(amended.segments.at(-1)).toEqual(note);
  await world.reach(agent, "idle");
  await expect(world.agents.amend(agent, id, { status: "failed", segments: [] })).rejects.toMatchObject({
    code: "task_ended",
  });
  expect(await world.run(agent, "echo next")).toBe("next\n");
  expect((await world.ended(id)).row.status).toBe("completed");
});

test("agents - a task cancelled while its sandbox is made leaves an agent that gets its sandbox all the same", async () => {
  const agent = await world.create("swapping", {}, { setup: "[ ! -e slow ] || sleep 0.5" });
  await world.run(agent, "touch slow");
  const recipe = { name: "download-clean-csv", parameters: { url: "http://up.paddock.test:81/data.csv" } };
  const id = await world.post(agent, "", { input: { content: [{ type: "recipe", content: recipe }] } });
  for await (const event of world.agents.follow(id, undefined, AbortSignal.timeout(5000)))
    if (event.type === "phase" && event.phase === "setup") break;
  expect(await world.agents.cancel(agent)).toBe(true);
  expect((await world.ended(id)).row.status).toBe("cancelled");
  await world.agents.files(agent, AbortSignal.timeout(10_000));
  expect(await world.markers(agent)).toEqual([]);
  expect(await world.run(agent, "echo on")).toBe("on\n");
});
