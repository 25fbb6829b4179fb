import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { expect, test } from "vitest";
import type { ProbeFinding } from "../../src/index.ts";
import { NODE_TYPES } from "../../src/model/node-type.ts";
import { CLI, CliProcess, type CliResult, runCli } from "../support/cli.ts";
import { testEnv } from "../support/home.ts";

const COMMANDS = ["run", "exec", "ps", "kill", "logs", "doctor", "compare", "setup", "templates", "images"];

test("cli - --version is the package's", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(await runCli(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
});

test("cli - --help lists every command but the keeper", async () => {
  const { code, stdout } = await runCli(["--help"]);
  expect(code).toBe(0);
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"));
  expect(stdout).not.toContain("keeper");
});

test("cli - every command explains itself", async () => {
  const helps = await Promise.all(COMMANDS.map((command) => runCli([command, "--help"])));
  for (const [index, { code, stdout, stderr }] of helps.entries()) {
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(new RegExp(`^Usage: paddock ${COMMANDS[index] ?? ""}`));
    expect(stdout.split("\n").filter((line) => line.startsWith("  ")).length).toBeGreaterThan(1);
  }
});

test.each(["templates", "images"])("cli - every command of %s has a sentence of its own", async (group) => {
  const { stdout } = await runCli([group, "--help"]);
  const listed = stdout.slice(stdout.indexOf("Commands:")).split("\n").slice(1).filter(Boolean);
  expect(listed.length).toBeGreaterThan(3);
  for (const line of listed) expect(line).toMatch(/^ {2}\S.* {2}\w|^ {10,}\w/);
});

test.each([
  ["an unknown command", ["fly"]],
  ["no command", []],
  ["an unknown option", ["run", "--fly"]],
  ["an unknown option of a command in a command", ["templates", "list", "--fly"]],
  ["an argument too many", ["ps", "all"]],
  ["an argument too few", ["setup"]],
])("cli - %s gives 64 and the way to help", async (_title, args) => {
  const { code, stdout, stderr } = await runCli(args);
  expect([code, stdout]).toEqual([64, ""]);
  expect(stderr).toMatch(/--help/);
});

test("cli doctor - exit code, text and JSON agree", async () => {
  const json = await runCli(["doctor", "--json"]);
  const report = JSON.parse(json.stdout) as { driver: string; usable: boolean; findings: ProbeFinding[] };
  expect(json.stderr).toBe("");
  expect(report.usable).toBe(report.findings.every(({ status }) => status !== "failed"));
  expect(json.code).toBe(report.usable ? 0 : 69);
  const text = await runCli(["doctor"]);
  expect(text.code).toBe(json.code);
  for (const { name } of report.findings) expect(text.stdout).toContain(name);
  expect(text.stdout).toContain(report.usable ? "The bubblewrap driver is ready." : "is refused");
});

test("cli doctor and run - too few open files for a sandbox are said at once", () => {
  const withFewFiles = (...args: string[]) =>
    spawnSync("/bin/bash", ["-c", 'ulimit -n 256; exec "$0" "$@"', process.execPath, CLI, ...args], {
      env: testEnv(),
      encoding: "utf8",
    });
  const doctor = withFewFiles("doctor", "--json");
  expect([doctor.status, JSON.parse(doctor.stdout)]).toMatchObject([
    69,
    {
      usable: false,
      findings: expect.arrayContaining([expect.objectContaining({ name: "open files", status: "failed" })]),
    },
  ]);
  const run = withFewFiles("run", "--bare", "-t", "file", "-c", "true");
  expect([run.status, run.stderr]).toEqual([69, expect.stringContaining("ulimit -n")]);
});

test("cli doctor - a setting that is wrong is named", async () => {
  const { code, stdout } = await runCli(["doctor", "--json"], { env: { ...testEnv(), PADDOCK_LIMITS: "loose" } });
  expect(code).toBe(78);
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: "invalid_config" } });
});

test.each(NODE_TYPES)("cli setup - prints bash for %s, and its plan as JSON", async (type) => {
  const [code, plan] = await Promise.all([runCli(["setup", type]), runCli(["setup", type, "--json"])]);
  expect([code.code, plan.code]).toEqual([0, 0]);
  expect(code.stdout).toMatch(/^#!.*bash/);
  expect(spawnSync("bash", ["-n"], { input: code.stdout }).status).toBe(0);
  expect(JSON.parse(plan.stdout)).toMatchObject({ nodeType: type });
});

test("cli setup - an alias is known, an unknown type is refused with the known ones", async () => {
  const [alias, type] = await Promise.all([runCli(["setup", "js"]), runCli(["setup", "javascript"])]);
  expect(alias).toEqual(type);
  const { code, stderr } = await runCli(["setup", "ruby"]);
  expect(code).toBe(64);
  for (const known of NODE_TYPES) expect(stderr).toContain(known);
});

test("cli templates - lists and prunes in a data folder of its own", async () => {
  const home = mkdtempSync("/var/tmp/paddock-templates-");
  const templates = (...args: string[]): Promise<CliResult> =>
    runCli(["templates", ...args], { env: { ...testEnv(), PADDOCK_HOME: home } });
  const list = await templates("list", "--json");
  expect([list.code, JSON.parse(list.stdout)]).toEqual([0, []]);
  expect((await templates()).stdout).toMatch(/^type +template +content +size +built in/);
  expect(await templates("prune")).toMatchObject({ code: 0, stderr: expect.stringMatching(/^removed 0/) as string });
  expect(await templates("build", "ruby")).toMatchObject({ code: 64 });
  rmSync(home, { recursive: true });
});

test("cli templates - Ctrl-C during a build cancels with 130 and leaves no template", async () => {
  const home = mkdtempSync("/var/tmp/paddock-templates-");
  chmodSync(home, 0o711);
  const env = { ...testEnv(), PADDOCK_HOME: home };
  const command = new CliProcess(["templates", "build", "javascript"], { env });
  await command.saw("stderr", "[1/");
  command.child.kill("SIGINT");
  const { code, stderr } = await command.exited;
  expect(code).toBe(130);
  expect(stderr).toContain("cancelled: interrupted by SIGINT");
  expect((await runCli(["templates", "list", "--json"], { env })).stdout.trim()).toBe("[]");
  rmSync(home, { recursive: true });
});
