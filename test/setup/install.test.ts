import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { setupPlanSchema } from "../../src/setup/plan.ts";
import { generateSetupCode, renderSetup } from "../../src/setup/setup-code.ts";
import { IS_SOAK } from "../support/soak.ts";
import { makeEnvDir, readReadiness, requireRegistries, runSetup, startSetup, waitForProgress } from "./run-setup.ts";

const tinyPlan = setupPlanSchema.parse({
  name: "tiny",
  description: "One package of each registry",
  nodeType: "web",
  python: { packages: ["six==1.17.0"] },
  javascript: { packages: { "is-number": "7.0.0" } },
  checks: [{ python: "six" }, { javascript: "is-number" }],
});

const lockSchema = z.object({
  plan: z.string(),
  python: z.array(
    z.strictObject({ name: z.string(), version: z.string(), requested: z.boolean(), sha256: z.string().length(64) }),
  ),
  javascript: z.array(z.strictObject({ name: z.string(), version: z.string(), requested: z.boolean() })),
});

test("setup install - packages of both registries are there, compiled, locked and usable, and a second run takes under a second", async (context) => {
  await requireRegistries(context);
  const envDir = await makeEnvDir(context);
  const { code, hash } = renderSetup(tinyPlan);
  expect(await runSetup(code, envDir)).toMatchObject({ exitCode: 0 });

  const versions = { six: "1.17.0", "is-number": "7.0.0" };
  expect(await readReadiness(envDir)).toEqual({
    ok: true,
    step: expect.any(String),
    error: null,
    plan: hash,
    versions,
  });
  const lock = lockSchema.parse(JSON.parse(await readFile(join(envDir, "lock.json"), "utf8")));
  expect(lock).toMatchObject({
    plan: hash,
    python: [{ name: "six", version: "1.17.0", requested: true }],
    javascript: [{ name: "is-number", version: "7.0.0", requested: true }],
  });

  const script =
    '. "$1/env.sh" && python -c "import six; print(six.__cached__)" && node -p "require(\'is-number\')(7)"';
  const [compiled, isNumber] = execFileSync("bash", ["-c", script, "sh", envDir], { encoding: "utf8", cwd: "/" }).split(
    "\n",
  );
  await access(String(compiled));
  expect(isNumber).toBe("true");

  const again = await runSetup(code, envDir);
  expect(again).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("up to date") });
});

test.for(["Install 1 Python packages", ...(IS_SOAK ? ["Install 1 npm packages"] : [])])(
  "setup install - killed in the step '%s', the next run gets ready",
  async (step, context) => {
    await requireRegistries(context);
    const envDir = await makeEnvDir(context);
    const { code, hash } = renderSetup(tinyPlan);
    const child = startSetup(code, envDir);
    const closed = once(child, "close");
    await waitForProgress(child, step);
    process.kill(-Number(child.pid), "SIGKILL");
    expect(await closed).toEqual([null, "SIGKILL"]);
    await expect(access(join(envDir, "ready.json"))).rejects.toThrow("ENOENT");

    expect(await runSetup(code, envDir)).toMatchObject({ exitCode: 0 });
    expect(await readReadiness(envDir)).toMatchObject({
      ok: true,
      plan: hash,
      versions: { six: "1.17.0", "is-number": "7.0.0" },
    });
  },
);

test("setup install - a version that no registry has fails after the stated attempts, with pip's words in the readiness file", async (context) => {
  await requireRegistries(context);
  const envDir = await makeEnvDir(context);
  const plan = { ...tinyPlan, python: { packages: ["six==0.0.99999"], preload: [] } };
  const run = await runSetup(generateSetupCode(plan, { maxAttempts: 2 }), envDir);
  expect(run).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("attempt 1 of 2 failed") });
  expect(await readReadiness(envDir)).toMatchObject({
    ok: false,
    step: "Install 1 Python packages",
    error: expect.stringContaining("six==0.0.99999"),
  });
});

test("setup install - TERM during a download ends in a readiness file that says so", async (context) => {
  await requireRegistries(context);
  const envDir = await makeEnvDir(context);
  const child = startSetup(generateSetupCode(tinyPlan), envDir);
  const closed = once(child, "close");
  await waitForProgress(child, "Install 1 Python packages");
  process.kill(-Number(child.pid), "SIGTERM");
  expect(await closed).toEqual([143, null]);
  expect(await readReadiness(envDir)).toMatchObject({ ok: false, step: "Install 1 Python packages" });
});
