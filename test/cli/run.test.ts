import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TaskResult } from "../../src/model/result.ts";
import { CliProcess, type CliResult, runCli } from "../support/cli.ts";
import { expectGone, expectReaped, sandboxesOf } from "../support/remains.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "paddock-cli-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const runQuietly = (args: readonly string[], input?: string): Promise<CliResult> =>
  runCli(["run", "--bare", "-q", ...args], input === undefined ? {} : { input });

test.each([
  ["a.py", "import sys\nprint('python', sys.version_info.major)\n", "python 3\n"],
  ["a.js", "console.log('javascript', 6 * 7)\n", "javascript 42\n"],
  ["a.mjs", "import { basename } from 'node:path';\nconsole.log(basename('/x/module'))\n", "module\n"],
  ["a.sh", 'echo "shell $((6 * 7)) $BASH_VERSINFO" | tr -d 0-9\n', "shell  \n"],
  ["a.json", JSON.stringify({ code: { language: "python", source: "print('task')" }, bare: true }), "task\n"],
  ["a.md", "# Please\n\n```python\nprint('described')\n```\n", "described\n"],
  ["tool", "#!/usr/bin/env node\nconsole.log('by its first line')\n", "by its first line\n"],
])("cli run - %s is run as what it is", async (name, text, output) => {
  expect(await runQuietly([write(name, text)])).toEqual({ code: 0, signal: null, stdout: output, stderr: "" });
});

test.each([
  ["code of -c", ["-c", "print(6 * 7)"], undefined, "42\n"],
  ["code of -c in the language of --type", ["-t", "js", "-c", "console.log(6 * 7)"], undefined, "42\n"],
  ["a command of -c on a file node", ["-t", "file", "-c", "echo $((6 * 7))"], undefined, "42\n"],
  ["code from standard input", [], "print('piped')", "piped\n"],
  ["code from standard input named -", ["-t", "javascript", "-"], "console.log('piped')", "piped\n"],
  ["a task from standard input", [], '{"code": {"language": "bash", "source": "echo task"}}', "task\n"],
  ["a description with a code block", ["Do this:\n```sh\necho fenced\n```\n"], undefined, "fenced\n"],
])("cli run - %s is run", async (_title, args, input, output) => {
  expect(await runQuietly(args, input)).toEqual({ code: 0, signal: null, stdout: output, stderr: "" });
});

test("cli run - without -q the calls are shown as a table on stderr, and a value", async () => {
  const { code, stdout, stderr } = await runCli(["run", "--bare", "-c", "open('f', 'w').write('x')\n6 * 7"]);
  expect([code, stdout]).toEqual([0, ""]);
  expect(stderr).toMatch(/^1\. Run Python$/m);
  expect(stderr).toMatch(/^value: 42$/m);
  expect(stderr).toMatch(/^Run Python +run_python +ok .*\+1$/m);
  expect(stderr).toMatch(/^tsk_\w+ completed: 1 tool call · .* · 1\/1 ok, 0 retries/m);
});

test("cli run - the guest's exit code is passed through and its streams are kept apart", async () => {
  const code = "import sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\nsys.exit(3)";
  expect(await runQuietly(["-c", code])).toEqual({
    code: 3,
    signal: null,
    stdout: "to stdout\n",
    stderr: "to stderr\n",
  });
});

test("cli run - a program that a signal ended gives 128 and its number", async () => {
  expect(await runQuietly(["-c", "import os; os.kill(os.getpid(), 11)"])).toMatchObject({ code: 139 });
});

test("cli run - output streams while the program runs", async () => {
  const run = new CliProcess(["run", "--bare", "-q", "-c", "import time\nprint('first', flush=True)\ntime.sleep(60)"]);
  await run.saw("stdout", "first\n");
  expect(run.child.exitCode).toBeNull();
  run.child.kill("SIGINT");
  expect((await run.exited).code).toBe(130);
});

test("cli run - --json prints one document with every record, and nothing else", async () => {
  const code = "import sys\nprint('a')\nprint('b', file=sys.stderr)\nsys.exit(5)";
  const { code: exitCode, stdout, stderr } = await runCli(["run", "--bare", "--json", "-c", code]);
  expect([exitCode, stderr]).toEqual([5, ""]);
  const result = JSON.parse(stdout) as TaskResult;
  expect(result).toMatchObject({ status: "failed", exit_code: 5, error: { code: "nonzero" } });
  expect(result.tool_calls).toHaveLength(1);
  expect(result.tool_calls[0]).toMatchObject({ stdout: { text: "a\n" }, stderr: { text: "b\n" }, return_code: 5 });
});

test("cli run - a time-out is the verdict timeout and exit code 124", async () => {
  const args = ["run", "--bare", "--timeout", "4s", "-c", "import time\nprint('on', flush=True)\ntime.sleep(60)"];
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stdout]).toEqual([124, "on\n"]);
  expect(stderr).toMatch(/^Run Python +run_python +timeout/m);
  expect(stderr).toMatch(/^hint: Raise .*--timeout/m);
  expect(stderr).not.toContain("cancelled");
});

test("cli run - memory above the limit is the verdict oom and exit code 137", async () => {
  const { code, stderr } = await runCli(["run", "--bare", "--memory", "64m", "-c", "bytearray(300 * 1024 * 1024)"]);
  expect(code).toBe(137);
  expect(stderr).toContain("oom: memory above 64 MiB");
});

test("cli run - --kill-on-output ends a call with the verdict output", async () => {
  const args = ["run", "--bare", "--json", "--kill-on-output", "-c", "while True: print('x' * 1000)"];
  const { code, stdout } = await runCli(args);
  expect(code).toBe(1);
  expect((JSON.parse(stdout) as TaskResult).tool_calls[0]).toMatchObject({ verdict: "output", success: false });
});

test("cli run - --env sets variables, with = in values", async () => {
  const { stdout } = await runQuietly(["-t", "file", "--env", "A=1", "--env", "B=x=y", "-c", 'echo "$A $B"']);
  expect(stdout).toBe("1 x=y\n");
});

test("cli run - a host outside --network is denied and named with the option that allows it", async () => {
  const code = "import urllib.request as u\nu.urlopen('http://denied.invalid/')";
  const { code: exitCode, stderr } = await runCli(["run", "--bare", "--network", "allowed.invalid", "-c", code]);
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/^Run Python +run_python +denied 1/m);
  expect(stderr).toContain("denied: egress to denied.invalid:80 was denied");
  expect(stderr).toContain("--network denied.invalid");
});

test("cli run - Ctrl-C cancels, gives 130 and leaves nothing", async () => {
  const run = new CliProcess(["run", "--bare", "-c", "import time\nprint('on', flush=True)\ntime.sleep(60)"]);
  await run.saw("stdout", "on\n");
  const sandboxes = sandboxesOf(run.pid);
  run.child.kill("SIGINT");
  const { code, stderr } = await run.exited;
  expect(code).toBe(130);
  expect(stderr).toMatch(/^Run Python +run_python +cancelled/m);
  await expectGone(sandboxes);
});

test("cli run - a second Ctrl-C ends at once; the sandbox dies with its owner and the next start removes its folders", async () => {
  const deaf = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)";
  const run = new CliProcess(["run", "--bare", "-c", deaf]);
  await run.saw("stdout", "on\n");
  const sandboxes = sandboxesOf(run.pid);
  run.child.kill("SIGINT");
  await run.saw("stderr", "once more ends at once");
  run.child.kill("SIGINT");
  const { code, stderr } = await run.exited;
  // Nobody waited for the call's own end.
  expect([code, stderr.includes("cancelled")]).toEqual([130, false]);
  await expectReaped(sandboxes);
});

test("cli run - Ctrl-C while the sandbox is made leaves nothing", async () => {
  const run = new CliProcess(["run", "--bare", "--json", "-c", "print(1)"]);
  const { promise: made, resolve } = Promise.withResolvers<string[]>();
  const watch = setInterval(() => {
    const found = sandboxesOf(run.pid);
    if (found.length > 0) resolve(found);
  }, 1);
  void run.exited.then(() => resolve([]));
  const sandboxes = await made;
  clearInterval(watch);
  run.child.kill("SIGINT");
  expect([0, 130]).toContain((await run.exited).code);
  await expectGone(sandboxes);
});

test("cli run - ends quietly when nobody reads its output, and stops the program", async () => {
  const run = new CliProcess(["run", "--bare", "-q", "-c", "while True: print('x' * 1000)"]);
  await run.saw("stdout", "x");
  run.child.stdout?.destroy();
  const { code, stderr } = await run.exited;
  expect([code, stderr]).toEqual([141, ""]);
});

test.each([
  ["an unknown file", ["nofile.py"], 66, "there is no file nofile.py"],
  ["a folder", ["."], 64, ". is a folder"],
  ["a description without a plan", ["make me a sandwich please"], 64, "error no_plan"],
  ["a bad duration", ["--timeout", "5x", "-c", "1"], 64, "--timeout is 5x"],
  ["a bad size", ["--memory", "lots", "-c", "1"], 64, "--memory is lots"],
  ["a size out of range", ["--memory", "1k", "-c", "1"], 64, "--memory is 1k: "],
  ["a bad number", ["--cpus", "two", "-c", "1"], 64, "--cpus is two"],
  ["too few processes", ["--pids", "3", "-c", "1"], 64, "--pids is 3: "],
  ["a variable without value", ["--env", "FOO", "-c", "1"], 64, "--env FOO has no value"],
  ["a variable with a bad name", ["--env", "1A=x", "-c", "1"], 64, "env.1A"],
  ["an unknown node type", ["--type", "ruby", "-c", "1"], 64, "--type is ruby: "],
  ["a bad time to live", ["--ttl", "soon", "--keep", "-c", "1"], 64, "--ttl is soon"],
  ["a bad policy", ["--network", "http://x", "-c", "1"], 64, "write the host without a scheme"],
  ["both a file and code", ["a.py", "-c", "1"], 64, "both -c and a source are given"],
  ["nothing at all", ["-"], 64, "standard input is empty"],
  ["no workspace folder", ["--workspace", "nowhere", "-c", "1"], 66, "--workspace nowhere is no folder"],
])("cli run - %s is refused with what to do", async (_title, args, code, message) => {
  const result = await runCli(["run", "--bare", ...args], { cwd: folder, input: "" });
  expect(result.code).toBe(code);
  expect(result.stdout).toBe("");
  expect(result.stderr).toContain(message);
  expect(result.stderr).toMatch(/^hint: \S/m);
  expect(result.stderr).not.toMatch(/^ +at /m);
});

test("cli run - a description without a plan names the recipes", async () => {
  const { stderr } = await runCli(["run", "make me a sandwich please"]);
  for (const recipe of ["build-dataframe", "download-clean-csv", "express-hello"]) expect(stderr).toContain(recipe);
});

test.each([
  ["a field that tasks do not have", '{"cod": 1}', "cod"],
  ["a field of the wrong kind", '{"code": {"language": "ruby", "source": ""}}', "code.language"],
  ["broken JSON", '{"code": ', "standard input is no JSON"],
])("cli run - a task with %s is refused by name, never run as code", async (_title, input, message) => {
  const { code, stdout, stderr } = await runCli(["run", "--bare", "--json"], { input });
  expect([code, stderr]).toEqual([64, ""]);
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
  expect(error.code).toBe("invalid_request");
  expect(error.message).toContain(message);
});

test("cli run - a file with an unknown ending is refused, and run when --type says what it is", async () => {
  const path = write("x.rb", "print('but python')");
  expect(await runQuietly([path])).toMatchObject({ code: 64, stdout: "" });
  expect(await runQuietly(["-t", "python", path])).toMatchObject({ code: 0, stdout: "but python\n" });
});
