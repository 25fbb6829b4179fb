import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestContext } from "vitest";
import { parseReadiness, type Readiness } from "../../src/setup/readiness.ts";

export interface SetupRun {
  readonly exitCode: number | null;
  readonly stderr: string;
  readonly durationMs: number;
}

/**
 * A temporary folder for `ENV_DIR`, removed when the test ends. Its name holds a blank and a quote: paths are data too.
 */
export async function makeEnvDir(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "setup test's "));
  context.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "env");
}

/** Starts setup code in a process group of its own, as `bash -c` or from standard input. */
export function startSetup(code: string, envDir: string, by: "argument" | "stdin" = "argument"): ChildProcess {
  const child = spawn("bash", by === "argument" ? ["-c", code] : [], {
    detached: true,
    env: { ...process.env, ENV_DIR: envDir },
    stdio: [by === "stdin" ? "pipe" : "ignore", "ignore", "pipe"],
  });
  child.stdin?.end(code);
  child.stderr?.setEncoding("utf8");
  return child;
}

export async function runSetup(code: string, envDir: string, by: "argument" | "stdin" = "argument"): Promise<SetupRun> {
  const startedMs = performance.now();
  const child = startSetup(code, envDir, by);
  let stderr = "";
  child.stderr?.on("data", (chunk: string) => {
    stderr += chunk;
  });
  const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { exitCode, stderr, durationMs: performance.now() - startedMs };
}

/** Resolves when standard error shows `text`; rejects when it ends before. */
export function waitForProgress(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = "";
    child.stderr?.on("data", (chunk: string) => {
      seen += chunk;
      if (seen.includes(text)) resolve();
    });
    child.once("close", () => reject(new Error(`ended before "${text}":\n${seen}`)));
  });
}

export async function readReadiness(envDir: string): Promise<Readiness> {
  return parseReadiness(await readFile(join(envDir, "ready.json"), "utf8"));
}

/** Skips the test, with the reason, where pip or npm reaches no registry. With CI set that is a failure. */
export async function requireRegistries(context: TestContext): Promise<void> {
  registries ??= probeRegistries();
  const problem = await registries;
  if (problem === undefined) return;
  if (process.env["CI"]) throw new Error(problem);
  context.skip(problem);
}

let registries: Promise<string | undefined> | undefined;

async function probeRegistries(): Promise<string | undefined> {
  const run = promisify(execFile);
  const folder = await mkdtemp(join(tmpdir(), "setup-probe-"));
  try {
    await run("npm", ["view", "is-number@7.0.0", "version"], { timeout: 30_000 });
    await run("/usr/bin/python3", ["-m", "venv", join(folder, "venv")], { timeout: 60_000 });
    await run(join(folder, "venv/bin/pip"), ["download", "--no-deps", "--quiet", "-d", folder, "six==1.17.0"], {
      timeout: 60_000,
    });
    return undefined;
  } catch (error) {
    return `no registry is reachable: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
