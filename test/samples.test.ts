import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { planTask } from "../src/executor/planner.ts";
import type { TaskResult } from "../src/model/result.ts";
import { CLI, runCli } from "./support/cli.ts";
import { lacksEngine } from "./support/engine.ts";
import { testEnv } from "./support/home.ts";
import { ensureImage } from "./support/images.ts";

/** What readers copy from the documents runs. `bare` is added throughout, so that no template has to be built. */

const LIBRARY = fileURLToPath(new URL("../src/index.ts", import.meta.url));

let folder: string;

beforeAll(async () => {
  if (!lacksEngine()) await ensureImage("base");
  folder = mkdtempSync(join(tmpdir(), "paddock-samples-"));
  writeFileSync(join(folder, "script.py"), "print('script')\n");
  writeFileSync(join(folder, "fix.py"), "open('fixed', 'w').write('by fix')\n");
  writeFileSync(join(folder, "task.json"), JSON.stringify({ code: { language: "bash", source: "echo task" } }));
}, 290_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function readBlocks(document: string, language: string): string[] {
  const text = readFileSync(new URL(`../${document}`, import.meta.url), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, block = ""]) => block);
}

const tasks = readBlocks("docs/tasks.md", "json");

test("samples - docs/tasks.md shows tasks", () => {
  expect(tasks.length).toBeGreaterThan(0);
});

test.each(tasks.map((task, index) => [index + 1, task] as const))(
  "samples - task %i of docs/tasks.md completes",
  async (_number, task) => {
    const { code, stdout } = await runCli(["run", "--bare", "--json"], { input: task });
    const result = JSON.parse(stdout) as TaskResult;
    expect([code, result.status, result.error]).toEqual([0, "completed", undefined]);
  },
);

const programs = ["README.md", "docs/library.md"].flatMap((document) =>
  readBlocks(document, "ts").flatMap((program) =>
    program.includes('"docker"') && lacksEngine() ? [] : [[document, program] as const],
  ),
);

test("samples - README.md and docs/library.md show the library", () => {
  expect(new Set(programs.map(([document]) => document)).size).toBe(2);
});

test.each(programs)("samples - the program of %s runs", (document, program) => {
  const file = join(folder, `${document.replaceAll("/", "-")}.ts`);
  const bare = program
    .replaceAll('from "paddock"', `from ${JSON.stringify(LIBRARY)}`)
    .replaceAll("paddock.run({", "paddock.run({ bare: true,")
    .replaceAll("paddock.open({", "paddock.open({ bare: true,");
  writeFileSync(file, bare);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { env: testEnv(), timeout: 30_000 });
  expect([status, stderr.toString()]).toEqual([0, ""]);
  expect(stdout.toString()).toMatch(/42|ok/);
});

const lines = readBlocks("README.md", "sh")
  .flatMap((block) => block.split("\n"))
  .filter((line) => line.startsWith("npm run -s paddock "));
const described = lines.flatMap((line) => / run "([^"]+)"/.exec(line)?.[1] ?? []);

test("samples - README.md shows commands, one with a description that a recipe knows", () => {
  expect(lines.length).toBeGreaterThan(3);
  expect(described.length).toBeGreaterThan(0);
  for (const description of described) expect(planTask({ description }).source).toBe("recipe");
});

/** Stands for npm, so that the lines run as they are: `npm run -s paddock -- ...`. */
const NPM = `npm() {
  shift 4
  if [ "$1" = run ]; then shift; set -- run --bare "$@"; fi
  "$NODE" "$CLI" "$@"
}`;

test.each(lines.filter((line) => !described.some((text) => line.includes(text))))("samples - README.md: %s", (line) => {
  const env = { ...testEnv(), NODE: process.execPath, CLI };
  const { status, stdout, stderr } = spawnSync("bash", ["-c", `${NPM}\n${line}`], {
    cwd: folder,
    env,
    timeout: 30_000,
  });
  for (const [, id = ""] of stderr.toString().matchAll(/kept sandbox (sbx_\w+)/g)) {
    spawnSync(process.execPath, [CLI, "kill", id], { env });
  }
  expect([status, stderr.toString().includes("hint:")]).toEqual([0, false]);
  if (line.includes("task.json")) expect(JSON.parse(stdout.toString())).toMatchObject({ status: "completed" });
  if (line.includes("--workspace")) expect(readFileSync(join(folder, "fixed"), "utf8")).toBe("by fix");
});
