import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { KeeperCard } from "../../src/keeper/protocol.ts";
import type { TaskResult } from "../../src/model/result.ts";
import { CliProcess, type CliResult, runCli } from "../support/cli.ts";
import { testHome } from "../support/home.ts";
import { expectGone, livingRemains, storedRemains } from "../support/remains.ts";

const DEAF = "trap 'echo caught' INT; trap '' TERM; echo on; while :; do sleep 0.1; done";
const KEPT = /kept sandbox (sbx_\w{26})/;

let id: string;

beforeAll(async () => {
  const { code, stdout, stderr } = await runCli([
    "run",
    "--bare",
    "--keep",
    "-c",
    "open('left', 'w').write('by the task')\nprint('from the task')",
  ]);
  expect([code, stdout]).toEqual([0, "from the task\n"]);
  id = KEPT.exec(stderr)?.[1] ?? "";
  expect(id).not.toBe("");
});

afterAll(async () => {
  if (storedRemains([id]).length > 0) await runCli(["kill", id]);
});

const exec = (command: readonly string[], input?: string | Buffer): Promise<CliResult> =>
  runCli(["exec", id, ...command], input === undefined ? {} : { input });

test("cli exec - runs in the kept sandbox, and files persist", async () => {
  expect(await exec(["cat", "left"])).toMatchObject({ code: 0, stdout: "by the task" });
  expect(await exec(["--", "sh", "-c", "echo more >> left"])).toMatchObject({ code: 0 });
  expect(await exec(["--", "cat", "left"])).toMatchObject({ stdout: "by the taskmore\n" });
});

test("cli exec - streams are kept apart and the exit code is passed through", async () => {
  const { code, stdout, stderr } = await exec(["sh", "-c", "echo out; echo err >&2; exit 7"]);
  expect([code, stdout, stderr]).toEqual([7, "out\n", "err\n"]);
});

test.each([
  ["a command that a signal ended", ["sh", "-c", "kill -9 $$"], 137],
  ["an unknown command", ["nosuchprogram"], 127],
])("cli exec - %s gives what a shell gives", async (_title, command, code) => {
  expect(await exec(command)).toMatchObject({ code, stdout: "" });
});

test("cli exec - a deadline gives 124 and says so", async () => {
  expect(await runCli(["exec", "--timeout", "300ms", id, "sleep", "60"])).toMatchObject({
    code: 124,
    stderr: "the command was ended after 300ms (--timeout)\n",
  });
});

test("cli exec - --cwd is where the command runs; one that is missing is refused", async () => {
  expect(await runCli(["exec", "--cwd", "/tmp", id, "pwd"])).toMatchObject({ code: 0, stdout: "/tmp\n" });
  expect(await runCli(["exec", "--cwd", "/nowhere", id, "pwd"])).toMatchObject({ code: 66, stdout: "" });
});

test("cli exec - piped input arrives whole, and its end", async () => {
  const bytes = Buffer.alloc(5_000_000, "0123456789\n");
  expect(await exec(["wc", "-c"], bytes)).toMatchObject({ code: 0, stdout: "5000000\n" });
});

test("cli exec - without a command a shell reads commands from the pipe", async () => {
  expect(await exec([], "echo $((6 * 7))\nexit 5\n")).toMatchObject({ code: 5, stdout: "42\n" });
});

test("cli exec - ends with a command that reads none of its input, whether that ends or not", async () => {
  expect(await exec(["true"], Buffer.alloc(3_000_000))).toMatchObject({ code: 0, stderr: "" });
  const open = new CliProcess(["exec", id, "true"], { input: { open: true } });
  expect((await open.exited).code).toBe(0);
});

test("cli exec - Ctrl-C reaches the command, also while input waits for it", async () => {
  const run = new CliProcess(["exec", id, "sh", "-c", "echo on; exec sleep 60"], { input: Buffer.alloc(20_000_000) });
  await run.saw("stdout", "on\n");
  run.child.kill("SIGINT");
  expect((await run.exited).code).toBe(130);
  expect((await exec(["true"])).code).toBe(0);
});

test("cli exec - a second Ctrl-C leaves a deaf command, which ends without the sandbox", async () => {
  const run = new CliProcess(["exec", id, "sh", "-c", DEAF]);
  await run.saw("stdout", "on\n");
  run.child.kill("SIGINT");
  await run.saw("stdout", "caught\n");
  run.child.kill("SIGINT");
  expect((await run.exited).code).toBe(130);
  await expect.poll(async () => (await exec(["true"])).code).toBe(0);
  await expect.poll(async () => await listRunning()).toEqual([]);
});

async function listRunning(): Promise<readonly string[]> {
  const listed = JSON.parse((await runCli(["ps", "--json"])).stdout) as Listed[];
  const processes = listed.find(({ card }) => card.sandbox_id === id)?.processes ?? [];
  return processes.filter(({ running }) => running).map(({ argv }) => argv.join(" "));
}

interface Listed {
  readonly card: KeeperCard;
  readonly processes?: readonly { readonly running: boolean; readonly argv: readonly string[] }[];
}

test("cli exec - gives a real terminal that follows the window, and puts the own one back", async () => {
  const shell = new CliProcess(["exec", id], { terminal: true });
  await shell.saw("stdout", /[$#] $/);
  shell.type("tty; stty size; echo $TERM\n");
  await shell.saw("stdout", /\/dev\/pts\/\d+\r\n24 80\r\n/);
  shell.resize(33, 101);
  shell.type("until [ \"$(stty size)\" = '33 101' ]; do sleep 0.01; done; echo resi''zed\n");
  await shell.saw("stdout", "resized");
  // The program says it itself: then it has the terminal, and the interrupt is for it.
  shell.type("sh -c \"echo go''ing; exec sleep 60\"\n");
  await shell.saw("stdout", "going");
  shell.type("\u0003");
  await shell.saw("stdout", /\^C[^$#]*[$#] $/);
  shell.type("exit 9\n");
  expect(await shell.exited).toMatchObject({ code: 9, stderr: "" });
});

test("cli exec - --no-tty gives none", async () => {
  const run = new CliProcess(["exec", "--no-tty", id, "tty"], { terminal: true });
  const { code, stdout } = await run.exited;
  expect([code, stdout]).toEqual([1, "not a tty\r\n"]);
});

test("cli ps - shows kept sandboxes with what runs in them, as a table and as JSON", async () => {
  const sleeper = new CliProcess(["exec", id, "sh", "-c", "echo on; exec sleep 60"]);
  await sleeper.saw("stdout", "on\n");
  const { code, stdout } = await runCli(["ps"]);
  expect(code).toBe(0);
  expect(stdout.split("\n")[0]).toMatch(/^sandbox +type +driver +created \(UTC\) +ends \(UTC\) +memory +processes$/);
  expect(stdout).toMatch(new RegExp(`^${id} +python +bubblewrap(?::\\S+)? +\\S+ +\\S+ +\\d.* [KM]iB +\\d+ `, "m"));
  expect(await listRunning()).toHaveLength(1);
  sleeper.child.kill("SIGINT");
  await sleeper.exited;
});

test("cli logs - shows what tasks and commands printed", async () => {
  const { code, stdout } = await runCli(["logs", id.slice(4, 16)]);
  expect(code).toBe(0);
  expect(stdout.startsWith("from the task\n")).toBe(true);
  expect(stdout).toContain("out\nerr\n");
});

test.each([["exec"], ["logs"], ["kill"]])("cli %s - an unknown sandbox is refused", async (command) => {
  const { code, stderr } = await runCli([command, "nosuch", ...(command === "exec" ? ["true"] : [])]);
  expect(code).toBe(66);
  expect(stderr).toContain("no kept sandbox nosuch");
  expect(stderr).toContain("paddock ps");
});

test("cli kill - without a name asks for one", async () => {
  expect(await runCli(["kill"])).toMatchObject({ code: 64, stderr: expect.stringContaining("--all") as string });
});

test("cli kill - returns when nothing of the sandbox is left", async () => {
  expect(await runCli(["kill", id.slice(4, 16)])).toMatchObject({ code: 0, stderr: `ended ${id}\n` });
  expect([...livingRemains([id]), ...storedRemains([id])]).toEqual([]);
  expect((await runCli(["ps"])).stdout).not.toContain(id);
  expect((await exec(["true"])).code).toBe(66);
});

test("cli run --keep - --json names the sandbox in its one document, and a failed task keeps it too", async () => {
  const args = ["run", "--bare", "--keep", "--json", "-c", "raise SystemExit(3)"];
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stderr]).toEqual([3, ""]);
  const result = JSON.parse(stdout) as TaskResult & { kept_sandbox_id: string };
  expect(result.tool_calls[0]?.sandbox_id).toBe(result.kept_sandbox_id);
  expect((await runCli(["kill", result.kept_sandbox_id])).code).toBe(0);
});

test("cli run --keep - Ctrl-C cancels the task and keeps the sandbox", async () => {
  const code = "import time\nprint('on', flush=True)\ntime.sleep(60)";
  const run = new CliProcess(["run", "--bare", "--keep", "-c", code]);
  await run.saw("stdout", "on\n");
  run.child.kill("SIGINT");
  const { code: exitCode, stderr } = await run.exited;
  expect(exitCode).toBe(130);
  const kept = KEPT.exec(stderr)?.[1] ?? "";
  expect(await runCli(["exec", kept, "echo", "alive"])).toMatchObject({ stdout: "alive\n" });
  expect((await runCli(["kill", kept])).code).toBe(0);
});

test("cli run - --ttl without --keep is refused", async () => {
  const { code, stderr } = await runCli(["run", "--bare", "--ttl", "5m", "-c", "1"]);
  expect([code, stderr]).toEqual([64, expect.stringContaining("--ttl needs --keep")]);
});

test("cli run --keep - a task that is refused keeps nothing", async () => {
  const { code, stderr } = await runCli(["run", "--bare", "--keep", "--network", "http://x", "-c", "1"]);
  expect(code).toBe(64);
  expect(stderr).toContain("write the host without a scheme");
  expect(stderr).not.toContain("kept sandbox");
});

test("cli run --keep - works on a folder and copies the changes of the task back", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-kept-"));
  const args = ["run", "--bare", "--keep", "-q", "-t", "file", "--workspace", ".", "-c", "pwd > made; touch Makefile"];
  const { code, stderr } = await runCli(args, { cwd: folder });
  expect(code).toBe(0);
  const kept = KEPT.exec(stderr)?.[1] ?? "";
  expect(readFileSync(join(folder, "made"), "utf8")).toBe("/workspace\n");
  expect(existsSync(join(folder, "Makefile"))).toBe(false);
  expect((await runCli(["kill", kept])).code).toBe(0);
  await expectGone([kept], testHome);
  rmSync(folder, { recursive: true });
});
