import { afterAll, beforeAll, expect, test } from "vitest";
import { ALICE, stdoutOf, until, World } from "./world.ts";

let world: World;

beforeAll(async () => {
  world = await World.open({ service: { setupTimeoutMs: 1500 } });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** What no supervisor does: the host kills the sandbox for it. */
const BREACH = `python3 -c "
import socket
for _ in range(40):
    try:
        dial = socket.socket(socket.AF_UNIX)
        dial.connect('/run/paddock/host.sock')
        dial.close()
    except OSError:
        pass
"`;

test("agents - setup runs on create and on every wake, and its end is kept", async () => {
  const agent = await world.create("setup", {}, { setup: "echo hello; echo run >> runs; touch /tmp/made" });
  await world.reach(agent, "idle");
  const { setup, sandboxId, nodeType } = await world.agents.details(agent);
  expect(setup).toMatchObject({ status: "ok", exit_code: 0, stdout: "hello\n", stderr: "" });
  expect(sandboxId).toMatch(/^sbx_/);
  expect(nodeType).toBe("python");
  await world.agents.sleep(agent, { delaySeconds: 0 }, ALICE);
  expect((await world.agents.details(agent)).sandboxId).toBeNull();
  expect(await world.run(agent, "wc -l < runs; ls /tmp/made")).toBe("2\n/tmp/made\n");
});

test("agents - a setup that fails or takes too long is told to every task and stops none", async () => {
  const failing = await world.create("failing-setup", {}, { setup: "echo why >&2; exit 7" });
  for (let n = 0; n < 2; n++) {
    const { row, segments } = await world.ended(await world.post(failing, "echo on"));
    expect(row.status).toBe("completed");
    expect(segments[0]).toMatchObject({ type: "note", level: "warning" });
    expect(segments[0]?.["text"]).toContain("exit status 7");
  }
  const slow = await world.create("slow-setup", {}, { setup: "echo begun; sleep 1000" });
  const { segments } = await world.ended(await world.post(slow, "echo on"));
  expect(segments[0]?.["text"]).toContain("ran out of time");
  expect((await world.agents.details(slow)).setup).toMatchObject({ status: "timeout", stdout: "begun\n" });
});

test("agents - a task that needs another network gets a sandbox of its own over the same workspace", async () => {
  const agent = await world.create("swap");
  await world.run(agent, "echo kept > file");
  const { sandboxId } = await world.agents.details(agent);
  await world.run(agent, "true");
  expect((await world.agents.details(agent)).sandboxId).toBe(sandboxId);
  const recipe = { name: "download-clean-csv", parameters: { url: "http://up.paddock.test:81/data.csv" } };
  const id = await world.post(agent, "", { input: { content: [{ type: "recipe", content: recipe }] } });
  const { row, segments } = await world.ended(id);
  expect(row.status).toBe("failed");
  expect(JSON.stringify(segments)).toContain("up.paddock.test");
  const swapped = (await world.agents.details(agent)).sandboxId;
  expect(swapped).not.toBe(sandboxId);
  expect(await world.run(agent, "cat file")).toBe("kept\n");
  expect((await world.agents.details(agent)).sandboxId).not.toBe(swapped);
});

/** What the proxy says to a request: its refusal names the policy. */
const ASK = `python3 -c "
import urllib.error, urllib.request
try:
    urllib.request.urlopen('http://up.paddock.test:81/')
except urllib.error.HTTPError as refused:
    print(refused.read().decode().splitlines()[0])
except OSError as error:
    print(error)
"`;

test("agents - without a policy of its own, setup has no network, also in a sandbox that has it for a task", async () => {
  const agent = await world.create("quiet-setup", {}, { setup: `${ASK} >> /agent/said` });
  await world.reach(agent, "idle");
  const recipe = { name: "download-clean-csv", parameters: { url: "http://up.paddock.test:81/data.csv" } };
  const { segments } = await world.ended(
    await world.post(agent, "", { input: { content: [{ type: "recipe", content: recipe }] } }),
  );
  expect(JSON.stringify(segments)).not.toContain("is not listed");
  const said = (await world.run(agent, "cat said")).trim().split("\n");
  expect(said).toHaveLength(3);
  expect(new Set(said).size).toBe(1);
  expect(said[0]).toContain("up.paddock.test:81 is not listed");
});

test("agents - a sandbox that dies under a task ends the task; the next one gets a new sandbox", async () => {
  const agent = await world.create("dying");
  const running = await world.post(agent, `echo kept > file; ${BREACH}; sleep 1000`);
  const next = await world.post(agent, "cat file");
  const { row } = await world.ended(running);
  expect(row).toMatchObject({ status: "failed", error: { code: "protocol_error" } });
  expect(stdoutOf(await world.ended(next))).toBe("kept\n");
});

test("agents - a sandbox that dies while its agent is idle takes the agent to sleep", async () => {
  const agent = await world.create("fading");
  await world.run(agent, "echo kept > file");
  const call = { tool: "run_command", input: { command: `sleep 0.2; ${BREACH}`, background: true } };
  await world.post(agent, "", { input: { content: [{ type: "tool_calls", content: [call] }] } });
  const [marker] = await until(async () => {
    const found = await world.markers(agent);
    return found.length > 0 ? found : undefined;
  });
  expect(marker).toMatchObject({ type: "slept", reason: "lost", note: "The sandbox ended" });
  expect(await world.run(agent, "cat file")).toBe("kept\n");
});

test("agents - an agent whose sandbox cannot be made says why, and nothing hangs", async () => {
  const agent = await world.create("impossible", {}, { network: "no such preset!" });
  const { row } = await world.ended(await world.post(agent, "echo on"));
  expect(row).toMatchObject({ status: "failed", error: { code: "invalid_policy" } });
  await world.reach(agent, "slept");
  const { setup } = await world.agents.details(agent);
  expect(setup?.stderr).toContain("invalid_policy");
});
