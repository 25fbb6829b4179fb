import { readFileSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { findKept, KeeperCall, listKept } from "../../src/keeper/client.ts";
import type { KeptResult } from "../../src/keeper/protocol.ts";
import { spawnKeeper } from "../../src/keeper/spawn.ts";
import { isAlive } from "../../src/lib/process-identity.ts";
import type { TaskInput } from "../../src/model/task.ts";
import { encodeControl, FRAME, FrameParser } from "../../src/sandbox/channel/frames.ts";
import { CLI } from "../support/cli.ts";
import { testHome } from "../support/home.ts";
import { lacks } from "../support/needs.ts";
import { expectGone, expectReaped } from "../support/remains.ts";
import { holdDevice } from "../support/slow-removal.ts";

const { run } = testHome;
const TASK: TaskInput = { code: { language: "bash", source: "cat >> kept; cat kept" }, node_type: "file", bare: true };
const kept = new Set<string>();

async function keep(ttlMs = 60_000): Promise<string> {
  const signal = new AbortController().signal;
  const id = await spawnKeeper(testHome, CLI, { task: TASK, ttl_ms: ttlMs }, signal, () => undefined);
  kept.add(id);
  return id;
}

/** Removes what a failed test left; a keeper that is gone already has nothing to end. */
afterEach(async () => {
  for (const id of kept) await new KeeperCall(run, id, { op: "kill" }).done.catch(() => undefined);
  kept.clear();
});

async function execute(id: string, argv: readonly [string, ...string[]]): Promise<{ code: unknown; output: string }> {
  let output = "";
  const call = new KeeperCall(
    run,
    id,
    { op: "exec", argv: [...argv] },
    {
      stdout: (chunk) => {
        output += chunk.toString();
      },
    },
  );
  call.endInput();
  return { code: (await call.done)["exit_code"], output };
}

test("keeper - control socket and card belong to their user alone", async () => {
  const id = await keep();
  expect(statSync(join(run, id, "keeper.sock")).mode & 0o777).toBe(0o600);
  expect(statSync(join(run, id, "keeper.json")).mode & 0o777).toBe(0o600);
});

test("keeper - is a session of its own, outlives who started it and survives SIGHUP and SIGINT", async () => {
  const id = await keep();
  const { pid } = findKept(run, id).keeper;
  const session = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[3];
  expect(session).toBe(String(pid));
  process.kill(pid, "SIGHUP");
  process.kill(pid, "SIGINT");
  expect(await execute(id, ["echo", "alive"])).toEqual({ code: 0, output: "alive\n" });
});

test("keeper - its time is over: nothing is left and it is listed no more", async () => {
  const id = await keep(2000);
  const { keeper } = findKept(run, id);
  await expect.poll(() => isAlive(keeper), { timeout: 5000 }).toBe(false);
  await expectGone([id]);
  expect(listKept(run).map((card) => card.sandbox_id)).not.toContain(id);
});

test("keeper - ends with its sandbox on SIGTERM", async () => {
  const id = await keep();
  process.kill(findKept(run, id).keeper.pid, "SIGTERM");
  await expectGone([id]);
});

test("keeper - killed by SIGKILL leaves nothing alive, and the next start removes what it stored", async () => {
  const id = await keep();
  process.kill(findKept(run, id).keeper.pid, "SIGKILL");
  await expectReaped([id]);
  expect(() => findKept(run, id)).toThrow(/no kept sandbox/);
});

test("keeper - ends when its sandbox does", async () => {
  const id = await keep();
  const { keeper } = findKept(run, id);
  await execute(id, ["sh", "-c", "kill -9 -1"]);
  const status = (await new KeeperCall(run, id, { op: "status" }).json()) as { processes: unknown[] };
  expect(status.processes).toEqual([]);
  await new KeeperCall(run, id, { op: "kill" }).done;
  await expect.poll(() => isAlive(keeper)).toBe(false);
});

test("keeper - ends what a client that goes away had started, and nothing else", async () => {
  const id = await keep();
  const { promise: started, resolve } = Promise.withResolvers<void>();
  const argv = ["sh", "-c", "echo on; exec sleep 60"];
  const left = new KeeperCall(run, id, { op: "exec", argv }, { stdout: () => resolve() });
  await started;
  left.abandon();
  await expect(left.done).rejects.toMatchObject({ code: "cancelled" });
  const running = async (): Promise<number> => {
    const status = await new KeeperCall(run, id, { op: "status" }).json();
    return (status as { processes: { running: boolean }[] }).processes.filter((one) => one.running).length;
  };
  await expect.poll(running).toBe(0);
  expect(await execute(id, ["echo", "alive"])).toEqual({ code: 0, output: "alive\n" });
});

test("keeper - runs tasks one after another in the one sandbox, each with its own record", async () => {
  const id = await keep();
  const runTask = async (source: string): Promise<KeptResult> => {
    const call = new KeeperCall(run, id, { op: "task", copy_back: [] });
    await call.send(Buffer.from(JSON.stringify({ ...TASK, code: { language: "bash", source } })));
    call.endInput();
    return (await call.json()) as KeptResult;
  };
  const first = await runTask("echo 1 > a");
  const second = await runTask("cat a; echo 2 > b");
  expect(first.result.tool_calls[0]).toMatchObject({ sandbox_id: id, files_created: [{ path: "a" }] });
  expect(second.result.tool_calls[0]).toMatchObject({ sandbox_id: id, files_created: [{ path: "b" }] });
  expect(second.result.tool_calls[0]?.stdout.text).toBe("1\n");
});

test.each([
  ["an unknown request", encodeControl({ op: "format", disk: "all" }), "invalid_request"],
  ["a request with a field too many", encodeControl({ op: "kill", now: true }), "invalid_request"],
  ["data before a request", Buffer.from([0, 0, 0, 1, FRAME.data, 0, 0, 0, 0, 65]), "invalid_request"],
  ["no frames at all", Buffer.from("GET / HTTP/1.1\r\n\r\n"), undefined],
  ["a task that is none", encodeControl({ op: "task", copy_back: [] }), "invalid_request"],
])("keeper - %s is refused and harms nobody", async (title, bytes, code) => {
  const id = await keep();
  const socket = connect(join(run, id, "keeper.sock"));
  socket.write(bytes);
  if (title.startsWith("a task")) socket.write(Buffer.from([0, 0, 0, 0, FRAME.end, 0, 0, 0, 0]));
  expect(await readFailure(socket)).toBe(code);
  expect(await execute(id, ["echo", "alive"])).toEqual({ code: 0, output: "alive\n" });
});

/** The code of the `failed` that the keeper answers; undefined when it just closes. */
async function readFailure(socket: Socket): Promise<string | undefined> {
  const parser = new FrameParser();
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  socket.on("data", (chunk: Buffer) => {
    parser.push(chunk);
    const frame = parser.next();
    if (frame === undefined) return;
    resolve((JSON.parse(frame.payload.toString()) as { error: { code: string } }).error.code);
    socket.end();
  });
  socket.on("close", () => resolve(undefined));
  socket.on("error", () => undefined);
  return await promise;
}

test.skipIf(lacks(process.getuid?.() === 0, "root"))(
  "keeper - whoever asks for the end of a sandbox that cannot be removed is told so",
  async () => {
    const id = await keep();
    using device = holdDevice(id);
    const failed = { code: "internal", message: expect.stringContaining("loop device") as string };
    await expect(new KeeperCall(run, id, { op: "kill" }).done).rejects.toMatchObject(failed);
    device?.[Symbol.dispose]();
    await expectGone([id]);
  },
);
