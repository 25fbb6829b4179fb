import { execFileSync, spawnSync } from "node:child_process";
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NODE_TYPES } from "../../src/model/node-type.ts";
import { type SetupPlan, setupPlanSchema } from "../../src/setup/plan.ts";
import { loadPlan } from "../../src/setup/plans.ts";
import { generateSetupCode, renderSetup } from "../../src/setup/setup-code.ts";
import { makeEnvDir, readReadiness, runSetup } from "./run-setup.ts";

const NASTY = `it's "$(touch /tmp/x)" \`id\` \\ \${HOME} !!\n; rm -rf \u201cx\u201d é\t#\u{1f600} 'end\\`;

/** Past the schema on purpose: quoting must hold by itself. */
const nastyPlan: SetupPlan = {
  name: NASTY,
  description: NASTY,
  nodeType: "file",
  python: { packages: [NASTY], preload: [NASTY] },
  javascript: { packages: { [NASTY]: NASTY }, preload: [NASTY] },
  files: [{ path: NASTY, content: NASTY, mode: NASTY }],
  env: { NASTY },
  checks: [{ python: NASTY }, { javascript: NASTY }, { command: [NASTY, NASTY] }],
};

function shellcheck(code: string): string {
  const { stdout, error } = spawnSync("shellcheck", ["-"], { input: code, encoding: "utf8" });
  if (error) throw error;
  return stdout;
}

test.each(NODE_TYPES)("setup code - shellcheck finds nothing in the code for %s", async (nodeType) => {
  expect(shellcheck(generateSetupCode(await loadPlan(nodeType)))).toBe("");
});

test("setup code - a plan with quotes and line ends in every string is clean, and bash parses it", () => {
  const code = generateSetupCode(nastyPlan, { envDir: NASTY, python: NASTY });
  expect(shellcheck(code)).toBe("");
  execFileSync("bash", ["-n"], { input: code });
});

test("setup code - the file plan gets ready, runs again at once, and is made anew when its plan changes", async (context) => {
  const envDir = await makeEnvDir(context);
  const plan = await loadPlan("file");
  const { code, hash } = renderSetup(plan);
  const first = await runSetup(code, envDir, "stdin");
  expect(first).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/\[1\/3\][\s\S]*\[2\/3\][\s\S]*\[3\/3\]/) });
  expect(await readReadiness(envDir)).toMatchObject({ ok: true, error: null, plan: hash, versions: {} });
  const madeAt = (await stat(join(envDir, "ready.json"))).mtimeMs;

  const second = await runSetup(code, envDir);
  expect(second).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("up to date") });
  expect((await stat(join(envDir, "ready.json"))).mtimeMs).toBe(madeAt);

  const changed = renderSetup({ ...plan, env: { A: "1" } });
  expect(await runSetup(changed.code, envDir)).toMatchObject({ exitCode: 0 });
  expect(await readReadiness(envDir)).toMatchObject({ ok: true, plan: changed.hash });
});

test("setup code - of two runs at once one makes the environment and the other finds it", async (context) => {
  const envDir = await makeEnvDir(context);
  const code = generateSetupCode(await loadPlan("file"));
  const runs = await Promise.all([runSetup(code, envDir), runSetup(code, envDir)]);
  expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  expect(runs.filter(({ stderr }) => stderr.includes("ready:"))).toHaveLength(1);
  expect(await readReadiness(envDir)).toMatchObject({ ok: true });
});

test("setup code - a lost readiness file is made again", async (context) => {
  const envDir = await makeEnvDir(context);
  const code = generateSetupCode(await loadPlan("file"));
  await runSetup(code, envDir);
  await rm(join(envDir, "ready.json"));
  expect(await runSetup(code, envDir)).toMatchObject({ exitCode: 0 });
  expect(await readReadiness(envDir)).toMatchObject({ ok: true });
});

test("setup code - files have their content and mode, and env.sh gives a shell the plan's variables", async (context) => {
  const envDir = await makeEnvDir(context);
  const plan = setupPlanSchema.parse({
    name: "files",
    description: NASTY,
    nodeType: "file",
    files: [{ path: "bin/it's", content: NASTY, mode: "750" }],
    env: { VALUE: NASTY },
    checks: [{ command: ["bash", "-c", '[ "$VALUE" = "$1" ]', "check", NASTY] }],
  });
  expect(await runSetup(generateSetupCode(plan), envDir)).toMatchObject({ exitCode: 0 });
  expect(await readFile(join(envDir, "files/bin/it's"), "utf8")).toBe(NASTY);
  expect((await stat(join(envDir, "files/bin/it's"))).mode & 0o7777).toBe(0o750);
  const value = execFileSync("bash", ["-c", '. "$1/env.sh" && printf %s "$VALUE"', "sh", envDir], { encoding: "utf8" });
  expect(value).toBe(NASTY);
});

test("setup code - a failed check leaves ok:false with the step and what the program said, and the next run starts over", async (context) => {
  const envDir = await makeEnvDir(context);
  const failing = setupPlanSchema.parse({
    name: "failing",
    description: "",
    nodeType: "file",
    checks: [{ command: ["bash", "-c", 'echo "no \\"luck\\" é" >&2; exit 7'] }],
  });
  const { code, hash } = renderSetup(failing);
  expect(await runSetup(code, envDir)).toMatchObject({ exitCode: 7 });
  expect(await readReadiness(envDir)).toEqual({
    ok: false,
    step: "Run 1 checks",
    error: expect.stringContaining('no "luck"'),
    plan: hash,
    versions: {},
  });
  expect(await runSetup(generateSetupCode(await loadPlan("file")), envDir)).toMatchObject({ exitCode: 0 });
});

test("setup code - a missing interpreter is named with what to do", async (context) => {
  const envDir = await makeEnvDir(context);
  const plan = setupPlanSchema.parse({ name: "x", description: "", nodeType: "python", python: {} });
  const run = await runSetup(generateSetupCode(plan, { python: "/no/python3" }), envDir);
  expect(run.exitCode).toBe(1);
  expect(await readReadiness(envDir)).toMatchObject({
    ok: false,
    step: "Create the Python virtual environment",
    error: "/no/python3 is missing: install Python 3.11 or later, or name one in PADDOCK_PYTHON",
  });
});

test.each(["relative/env", "/", ""])(
  "setup code - ENV_DIR %j is refused before anything is written",
  async (envDir) => {
    const run = await runSetup(generateSetupCode(await loadPlan("file"), { envDir: "also/relative" }), envDir);
    expect(run).toMatchObject({ exitCode: 64, stderr: expect.stringContaining("must be an absolute path") });
  },
);
