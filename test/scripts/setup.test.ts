import { execFileSync, spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type TestContext, test } from "vitest";

const BASE_TOOLS = "bash cat cut dirname env grep id node npm paste printf sort tr mount flock prlimit setpriv";

function runSetup(env: NodeJS.ProcessEnv, ...flags: string[]): { status: number | null; stderr: string } {
  return runSetupIn(".", env, ...flags);
}

function runSetupIn(cwd: string, env: NodeJS.ProcessEnv, ...flags: string[]): ReturnType<typeof runSetup> {
  const { status, stderr } = spawnSync("bash", ["scripts/setup.sh", ...flags], {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  return { status, stderr };
}

test("setup script - with nothing missing it is silent", () => {
  expect(runSetup({}, "--test")).toMatchObject({ status: 0, stderr: "" });
});

/** A PATH with these programs and no other. */
async function makePath(tools: readonly string[], context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "setup-path-"));
  context.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const tool of tools) {
    const found = execFileSync("bash", ["--norc", "-c", `type -P ${tool}`], { encoding: "utf8" }).trim();
    await symlink(found, join(folder, tool));
  }
  return folder;
}

test("setup script - without apt-get it names the missing packages and ends with 69", async (context) => {
  const run = runSetup({ PATH: await makePath(BASE_TOOLS.split(" "), context) }, "--test");
  expect(run.status).toBe(69);
  expect(run.stderr).toMatch(/missing: bubblewrap .*shellcheck.*no apt-get/);
});

test("setup script - of Node without npm it names what is missing", async (context) => {
  const run = runSetup({
    PATH: await makePath(
      BASE_TOOLS.split(" ").filter((tool) => tool !== "npm"),
      context,
    ),
  });
  expect(run).toMatchObject({ status: 69, stderr: expect.stringMatching(/Node.js v\d.* is here, and npm is not/) });
});

test("setup script - a Python that is not there is named, and an unknown flag is a usage error", () => {
  expect(runSetup({ PADDOCK_PYTHON: "/no/python3" })).toMatchObject({
    status: 69,
    stderr: expect.stringContaining("/no/python3"),
  });
  expect(runSetup({}, "--all")).toMatchObject({ status: 64, stderr: expect.stringContaining("usage:") });
});

test("setup script - where pip reaches no index it says what npm run check lacks, and the tests can run", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "setup-clone-"));
  context.onTestFinished(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "scripts"));
  for (const name of ["setup.sh", "gvisor.sh", "python-checks.txt"])
    await cp(join("scripts", name), join(folder, "scripts", name));
  const noIndex = { PIP_INDEX_URL: "http://127.0.0.1:9/simple", PIP_CONFIG_FILE: "/dev/null", PIP_FIND_LINKS: "" };
  expect(runSetupIn(folder, noIndex, "--test")).toMatchObject({
    status: 0,
    stderr: expect.stringContaining("ruff and mypy are missing, so npm run check will fail"),
  });
});

test("lockfile - it is complete for every platform and names no registry", () => {
  const run = spawnSync("node", ["scripts/fill-lockfile.mjs", "--check"], { encoding: "utf8" });
  expect(run).toMatchObject({ status: 0, stderr: "package-lock.json is complete\n" });
});
