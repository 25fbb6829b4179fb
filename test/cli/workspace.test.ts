import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CliProcess, type CliResult, runCli } from "../support/cli.ts";
import { testHome } from "../support/home.ts";
import { sandboxesOf } from "../support/remains.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-workspace-"));
  mkdirSync(join(folder, "src"));
  writeFileSync(join(folder, "src/data.txt"), "before\n");
  writeFileSync(join(folder, "old.txt"), "old\n");
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const work = (code: string, ...options: string[]): Promise<CliResult> =>
  runCli(["run", "--bare", "-t", "file", "--workspace", folder, ...options, "-c", code]);

const read = (path: string): string => readFileSync(join(folder, path), "utf8");

test("cli run --workspace - the folder goes in, and what changed comes back", async () => {
  const { code, stdout, stderr } = await work(
    "cat src/data.txt; echo after > src/data.txt; mkdir new; echo n > new/n.txt; rm old.txt",
  );
  expect([code, stdout]).toEqual([0, "before\n"]);
  expect(read("src/data.txt")).toBe("after\n");
  expect(read("new/n.txt")).toBe("n\n");
  expect(existsSync(join(folder, "old.txt"))).toBe(false);
  expect(stderr).toMatch(/^copied back: \d written, 1 deleted$/m);
});

test("cli run --workspace - what comes back belongs to the folder's owner", async () => {
  await work("echo n > new.txt; chmod 666 new.txt");
  const { uid, gid } = lstatSync(folder);
  expect(lstatSync(join(folder, "new.txt"))).toMatchObject({ uid, gid });
});

test("cli run --workspace - files that tools execute unasked are named and withheld", async () => {
  const { code, stderr } = await work(
    "mkdir -p .git/hooks; echo evil > .git/hooks/post-checkout; echo x > Makefile; echo ok > ok",
  );
  expect(code).toBe(0);
  expect(read("ok")).toBe("ok\n");
  expect(existsSync(join(folder, ".git"))).toBe(false);
  expect(existsSync(join(folder, "Makefile"))).toBe(false);
  expect(stderr).toMatch(/^withheld .*--copy-back PATH.*Makefile/m);
  expect(stderr).toMatch(/^withheld .*\.git/m);
});

test("cli run --workspace - --copy-back brings back what it names and nothing else", async () => {
  const { stderr } = await work("echo x > Makefile; echo y > justfile", "--copy-back", "Makefile");
  expect(read("Makefile")).toBe("x\n");
  expect(existsSync(join(folder, "justfile"))).toBe(false);
  expect(stderr).toMatch(/^withheld .*: justfile$/m);
});

test.each([
  [["--workspace", ".", "--copy-back", "../x"], "names nothing in the folder"],
  [["--copy-back", "x"], "--copy-back needs --workspace"],
])("cli run - %j is refused before anything runs", async (options, message) => {
  const { code, stderr } = await runCli(["run", "--bare", "-t", "file", ...options, "-c", "true"]);
  expect([code, stderr]).toEqual([64, expect.stringContaining(message)]);
});

test("cli run --workspace - a link that leads out is withheld and leads no write out", async () => {
  const outside = mkdtempSync(join(tmpdir(), "paddock-outside-"));
  symlinkSync(outside, join(folder, "way-out"));
  await work(`ln -s ${outside} trap; mkdir -p ${outside}; echo x > ${outside}/planted; echo ok > ok`);
  expect(read("ok")).toBe("ok\n");
  expect(existsSync(join(outside, "planted"))).toBe(false);
  expect(lstatSync(join(folder, "trap"), { throwIfNoEntry: false })).toBeUndefined();
  rmSync(outside, { recursive: true });
});

test("cli run --workspace - what a failed task changed comes back, and its exit code", async () => {
  const { code } = await work("echo half > half.txt; exit 3");
  expect(code).toBe(3);
  expect(read("half.txt")).toBe("half\n");
});

test("cli run --workspace - a sandbox that is lost under a task that goes on gives 70, a line and null", async () => {
  const call = { tool: "run_command", input: { command: "sleep 61.73" }, continue_on_failure: true };
  const task = JSON.stringify({ node_type: "file", tool_calls: [call] });
  const run = new CliProcess(["run", "--bare", "--json", "--workspace", folder, "-"], { input: task });
  await expect.poll(() => isRunning("sleep 61.73"), { timeout: 20_000 }).toBe(true);
  for (const id of sandboxesOf(run.pid)) process.kill(launcherOf(id), "SIGKILL");
  const { code, stdout, stderr } = await run.exited;
  expect(JSON.parse(stdout)).toMatchObject({ status: "completed", copied_back: null });
  expect(stderr).toMatch(/^--workspace: nothing was copied back/m);
  expect(code).toBe(70);
});

test("cli run --workspace - nothing comes back after Ctrl-C, and the command says so", async () => {
  const code = "echo half > half.txt; echo on; sleep 60";
  const run = new CliProcess(["run", "--bare", "-t", "file", "--workspace", folder, "-c", code]);
  await run.saw("stdout", "on\n");
  run.child.kill("SIGINT");
  const { code: exitCode, stderr } = await run.exited;
  expect(exitCode).toBe(130);
  expect(stderr).toContain("nothing was copied back");
  expect(existsSync(join(folder, "half.txt"))).toBe(false);
});

/** Whether a process of any sandbox runs exactly this. */
function isRunning(command: string): boolean {
  const line = `${command.replaceAll(" ", "\0")}\0`;
  return readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && commandOf(pid) === line);
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function launcherOf(id: string): number {
  const owner = JSON.parse(readFileSync(join(testHome.owners, id), "utf8")) as { launcher: { pid: number } };
  return owner.launcher.pid;
}
