import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Comparison } from "../../src/model/comparison.ts";
import { CliProcess, runCli } from "../support/cli.ts";
import { testEnv } from "../support/home.ts";

const NO_ENGINE = { ...testEnv(), DOCKER_HOST: "unix:///nonexistent/engine.sock" };

test.each([
  [["--drivers", "podman"], 64],
  [["--n", "0"], 64],
  [["--n", "many"], 64],
  [["--n", "3", "--quick"], 64],
  [["--json", "--markdown"], 64],
  [["extra"], 64],
])("cli compare - %j is refused before anything starts", async (args, expected) => {
  const { code, stdout, stderr } = await runCli(["compare", ...args], { env: NO_ENGINE });
  expect([code, stdout]).toEqual([expected, ""]);
  expect(stderr).toMatch(/hint:|--help/);
});

test("cli compare - where no tier runs it lists them with reasons and exits 69", async () => {
  const { code, stdout } = await runCli(["compare", "--drivers", "docker:runc,docker:runsc", "--n", "1"], {
    env: NO_ENGINE,
  });
  expect(code).toBe(69);
  for (const name of ["docker:runc", "docker:runsc"])
    expect(stdout).toMatch(new RegExp(`not available: ${name}: \\w+`));
});

test("cli compare - JSON on stdout, progress on stderr, the table in the report", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-compare-"));
  const report = join(folder, "report.html");
  const args = ["compare", "--drivers", "bubblewrap,docker:runc", "--n", "1", "--json", "--report", report];
  const { code, stdout, stderr } = await runCli(args, { env: NO_ENGINE });
  expect(code).toBe(0);
  const comparison = Comparison.parse(JSON.parse(stdout));
  expect(comparison.tiers.map(({ status }) => status)).toEqual(["ran", "unavailable"]);
  expect(stderr).toMatch(/life cycles: 1 rounds/);
  const page = readFileSync(report, "utf8");
  for (const text of ["<h2>Figures</h2>", "create to first command, ms", "<h2>Isolation</h2>", "docker:runc: "])
    expect(page).toContain(text);
  expect(page).not.toMatch(/<script|src=|href=/);
  rmSync(folder, { recursive: true });
});

test("cli compare - Ctrl-C cancels with 130 and leaves no report", async () => {
  const report = join(tmpdir(), `paddock-compare-${process.pid}.html`);
  const args = ["compare", "--drivers", "bubblewrap", "--n", "1000", "--report", report];
  const command = new CliProcess(args, { env: NO_ENGINE });
  await command.saw("stderr", "life cycles");
  command.child.kill("SIGINT");
  const { code, stdout } = await command.exited;
  expect([code, stdout, existsSync(report)]).toEqual([130, "", false]);
});
