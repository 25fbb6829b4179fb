import { once } from "node:events";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as paddockModule from "../src/index.ts";
import {
  createPaddock,
  type Lease,
  type Paddock,
  PaddockError,
  type TaskEvent,
  type TaskRequest,
} from "../src/index.ts";
import { testEnv } from "./support/home.ts";
import { expectGone } from "./support/remains.ts";

const SLEEPER: TaskRequest = {
  code: { language: "python", source: "import time\nprint('on', flush=True)\ntime.sleep(60)" },
  bare: true,
};

let paddock: Paddock;

beforeAll(async () => {
  paddock = await createPaddock({ env: testEnv() });
});

afterAll(async () => {
  await paddock[Symbol.asyncDispose]();
});

test("library - gives out these values and no others", () => {
  expect(Object.keys(paddockModule).toSorted()).toEqual(["ERROR_CODES", "PaddockError", "createPaddock"]);
});

test("library - the package has one door, and names its own description", () => {
  const { exports, type } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    exports: unknown;
    type: string;
  };
  expect(type).toBe("module");
  expect(exports).toEqual({
    ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
    "./conformance/driver": {
      types: "./dist/conformance/driver/suite.d.ts",
      default: "./dist/conformance/driver/suite.js",
    },
    "./package.json": "./package.json",
  });
});

test("library run - events come in the order in which things happen", async () => {
  const events: TaskEvent[] = [];
  const task: TaskRequest = {
    node_type: "file_ops",
    bare: true,
    tool_calls: [
      { tool: "run_command", input: { command: "echo one" } },
      { tool: "write_file", input: { path: "two", content: "2" }, title: "Second" },
    ],
  };
  const result = await paddock.run(task, { onEvent: (event) => void events.push(event) });
  expect(result.status).toBe("completed");
  expect(events.filter(({ type }) => type !== "progress").map(({ type }) => type)).toEqual([
    "task_started",
    "sandbox_ready",
    "call_started",
    "output",
    "call_finished",
    "call_started",
    "call_finished",
  ]);
  expect(events.findLast((event) => event.type === "call_started")).toMatchObject({ title: "Second", index: 1 });
  const last = events.at(-1);
  expect(last?.type === "call_finished" && last.record).toEqual(result.tool_calls[1]);
});

test("library run - an abort in the middle of a call cancels the task and leaves nothing", async () => {
  const controller = new AbortController();
  const result = await paddock.run(SLEEPER, {
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type === "output") controller.abort();
    },
  });
  expect(result).toMatchObject({ status: "cancelled", error: { code: "cancelled" } });
  expect(result.tool_calls[0]).toMatchObject({ verdict: "cancelled", stdout: { text: "on\n" } });
  await expectGone([result.tool_calls[0]?.sandbox_id ?? ""]);
});

test("library run - aborted from the start it runs nothing", async () => {
  const result = await paddock.run(SLEEPER, { signal: AbortSignal.abort() });
  expect(result).toMatchObject({ status: "cancelled", tool_calls: [], error: { code: "cancelled" } });
});

test("library run - the end of the task's time is its error, and the call's verdict", async () => {
  const result = await paddock.run({ ...SLEEPER, limits: { task_timeout_ms: 700 } });
  expect(result).toMatchObject({ status: "failed", error: { code: "timeout" } });
  expect(result.tool_calls[0]).toMatchObject({ verdict: "timeout", stdout: { text: "on\n" } });
});

test("library run - what onEvent throws reaches the caller as it is, and the sandbox is gone", async () => {
  const mistake = new Error("mine");
  let sandboxId = "";
  const run = paddock.run(SLEEPER, {
    onEvent: (event) => {
      if (event.type === "sandbox_ready") sandboxId = event.sandboxId;
      if (event.type === "output") throw mistake;
    },
  });
  await expect(run).rejects.toBe(mistake);
  await expectGone([sandboxId]);
});

test("library - bad input is a PaddockError that names the field", async () => {
  const bad = { code: { language: "python", source: 1 } } as unknown as TaskRequest;
  await expect(paddock.run(bad)).rejects.toThrow(PaddockError);
  await expect(paddock.run(bad)).rejects.toMatchObject({
    code: "invalid_request",
    message: expect.stringContaining("code.source") as string,
  });
  await expect(paddock.open({ limits: { memory_bytes: -1 } })).rejects.toMatchObject({ code: "invalid_request" });
  await expect(paddock.open({ network: "http://x", bare: true })).rejects.toMatchObject({ code: "invalid_policy" });
});

test("library - the end of its scope ends every sandbox it owns, and it makes no more", async () => {
  let lease: Lease;
  let closed: Paddock;
  {
    await using scoped = await createPaddock({ env: testEnv() });
    lease = await scoped.open({ nodeType: "file", bare: true });
    closed = scoped;
  }
  await expectGone([lease.sandbox.id]);
  await expect(lease.sandbox.files.write("x", "y")).rejects.toMatchObject({ code: "sandbox_closed" });
  await expect(closed.open({ bare: true })).rejects.toMatchObject({ code: "sandbox_closed" });
  await closed[Symbol.asyncDispose]();
});

describe("a sandbox step by step", () => {
  let lease: Lease;

  beforeAll(async () => {
    lease = await paddock.open({ nodeType: "python", bare: true, env: { GREETING: "hello" } });
  });

  afterAll(() => lease.close());

  test("library sandbox - files are written, read, listed, moved and removed", async () => {
    const { files } = lease.sandbox;
    await files.write("folder/a.txt", "hi");
    expect((await files.read("folder/a.txt")).toString()).toBe("hi");
    expect(await files.stat("folder/a.txt")).toMatchObject({ type: "file", size: 2 });
    await files.move("folder/a.txt", "b.txt");
    const { entries } = await files.list(".");
    expect(entries.map(({ path }) => path).toSorted()).toEqual(["b.txt", "folder"]);
    expect(await files.remove("b.txt")).toBe(1);
    await expect(files.read("b.txt")).rejects.toMatchObject({ code: "not_found" });
    await expect(files.read("../../etc/shadow")).rejects.toMatchObject({ code: "invalid_request" });
    await files.write("script", "#!/bin/sh\n", { mode: 0o755 });
    expect((await files.stat("script")).mode & 0o777).toBe(0o755);
  });

  test("library sandbox - a command gets input and environment and gives output and exit code", async () => {
    const { sandbox } = lease;
    const result = await sandbox.runProcess({ argv: ["sh", "-c", 'cat; echo "$GREETING"; exit 4'] }, "in ");
    expect(result).toMatchObject({ ended: "exit", report: { exit_code: 4 }, stdout: { text: "in hello\n" } });
  });

  test.each([
    ["python", "n = 41", "n + 1"],
    ["javascript", "let n = 41", "n + 1"],
  ] as const)(
    "library sandbox - a context in %s keeps its state, other runs start fresh",
    async (language, set, get) => {
      const { sandbox } = lease;
      const context = `notebook-${language}`;
      await sandbox.runCode({ language, code: set, context });
      expect((await sandbox.runCode({ language, code: get, context })).report?.value).toBe("42");
      expect((await sandbox.runCode({ language, code: get })).report?.error?.name).toMatch(/NameError|ReferenceError/);
      expect(await sandbox.contexts.list()).toContainEqual(expect.objectContaining({ name: context, language }));
      await sandbox.contexts.restart(context);
      expect((await sandbox.runCode({ language, code: get, context })).report?.error).not.toBeNull();
      await sandbox.contexts.remove(context);
    },
  );

  test("library sandbox - a server inside is reached through its port", async () => {
    const { sandbox } = lease;
    const code = [
      "import socket",
      "server = socket.create_server(('127.0.0.1', 0))",
      "print(server.getsockname()[1], flush=True)",
      "client, _ = server.accept()",
      "client.sendall(client.recv(100).upper())",
    ].join("\n");
    const { promise: port, resolve } = Promise.withResolvers<number>();
    const server = await sandbox.startProcess({
      argv: ["/usr/bin/python3", "-c", code],
      onOutput: (_stream, chunk) => resolve(Number(chunk.toString())),
    });
    const stream = await sandbox.connect(await port);
    stream.write("ping");
    const [answer] = (await once(stream, "data")) as [Buffer];
    expect(answer.toString()).toBe("PING");
    expect(await text(stream)).toBe("");
    expect((await server.done).report?.exit_code).toBe(0);
    await expect(sandbox.connect(await port)).rejects.toMatchObject({ code: "not_found" });
  });

  test("library sandbox - background processes are listed, followed again and signalled", async () => {
    const { sandbox } = lease;
    const code = "trap 'echo bye; exit 6' USR1; echo ready; while :; do sleep 0.05; done";
    const started = await sandbox.startProcess({ argv: ["sh", "-c", code], background: true });
    expect(await started.done).toMatchObject({ ended: "exit", report: { exit_code: null } });
    const listed = (await sandbox.processes()).find(({ pid }) => pid === started.pid);
    expect(listed).toMatchObject({ background: true, running: true });
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const again = await sandbox.attach(started.pid, { onOutput: () => resolve() });
    await ready;
    await sandbox.signalProcess(started.pid, "USR1");
    expect(await again.done).toMatchObject({ ended: "exit", report: { exit_code: 6 } });
    expect((await again.done).stdout.text).toBe("ready\nbye\n");
    expect((await sandbox.processes()).filter(({ pid, running }) => running && pid === started.pid)).toEqual([]);
    await expect(sandbox.signalProcess(999_999, "TERM")).rejects.toMatchObject({ code: "not_found" });
  });

  test("library sandbox - an abort ends the command and leaves the sandbox alive", async () => {
    const controller = new AbortController();
    const run = lease.sandbox.runProcess({
      argv: ["sh", "-c", "echo on; exec sleep 60"],
      signal: controller.signal,
      onOutput: () => controller.abort(),
    });
    expect(await run).toMatchObject({ ended: "cancel", sandboxKilled: false, stdout: { text: "on\n" } });
    expect((await lease.sandbox.runProcess({ argv: ["true"] })).report?.exit_code).toBe(0);
  });

  test("library run - in a sandbox that is open it leaves that alive, with what it made", async () => {
    const task: TaskRequest = { node_type: "file", code: { language: "bash", source: "echo made > made" } };
    const result = await paddock.run(task, { lease });
    expect(result.tool_calls[0]?.sandbox_id).toBe(lease.sandbox.id);
    expect((await lease.sandbox.files.read("made")).toString()).toBe("made\n");
  });
});

test("library - two sandboxes at the same time do not see each other", async () => {
  await using one = await paddock.open({ nodeType: "file", bare: true });
  await using other = await paddock.open({ nodeType: "file", bare: true });
  const server =
    "import socket, time\ns = socket.create_server(('127.0.0.1', 4711))\nprint('on', flush=True)\ntime.sleep(60)";
  const { promise: listening, resolve } = Promise.withResolvers<void>();
  await one.sandbox.startProcess({
    argv: ["/usr/bin/python3", "-c", server, "marker-of-one"],
    onOutput: () => resolve(),
  });
  await one.sandbox.files.write("secret", "of one");
  await one.sandbox.files.write("/tmp/secret", "of one");
  await listening;
  const look = [
    "ls -A /workspace /tmp",
    "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    "python3 -c \"import socket; socket.create_connection(('127.0.0.1', 4711))\" 2>&1 | tail -1",
  ].join("; ");
  const seen = await other.sandbox.runProcess({ argv: ["sh", "-c", look] });
  expect(seen.stdout.text).not.toContain("secret");
  expect(seen.stdout.text).not.toContain("s = socket.create_server");
  expect(seen.stdout.text).toContain("ConnectionRefusedError");
  await expect(other.sandbox.connect(4711)).rejects.toMatchObject({ code: "not_found" });
  expect(await one.sandbox.connect(4711)).toBeDefined();
});
