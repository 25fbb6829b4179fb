import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test, vi } from "vitest";
import { assertConfined, type LocalEvidence } from "../../../src/drivers/docker/evidence.ts";
import { UsageReader } from "../../../src/drivers/host/cgroup-usage.ts";
import { identifyProcess } from "../../../src/lib/process-identity.ts";
import { lacks } from "../../support/needs.ts";

const PROGRAM = fileURLToPath(new URL("runtime_process.py", import.meta.url));
/** A user that nothing else on the machine runs as. */
const UID = 61_235;
/** Longer than a command may lack its protection. */
const HOLD_MS = 2500;

describe.skipIf(lacks(process.getuid?.() === 0, "root"))("the protection of a container's first process", () => {
  let runtime: ChildProcess | undefined;

  afterEach(async () => {
    if (runtime?.exitCode !== null) return;
    runtime.kill("SIGKILL");
    await once(runtime, "exit");
  });

  /** The runtime's process, stopped before it has protected anything. */
  async function start(how: "confined" | "bare"): Promise<LocalEvidence> {
    const child = spawn("/usr/bin/python3", ["-I", PROGRAM, String(UID), how], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    runtime = child;
    await once(child, "spawn");
    await vi.waitUntil(() => /^State:\tT/m.test(readFileSync(`/proc/${child.pid}/status`, "utf8")), {
      timeout: 10_000,
    });
    const identity = identifyProcess(child.pid ?? 0);
    if (identity === undefined) throw new Error("the process is gone");
    return { process: identity, usage: new UsageReader(undefined, "none"), cgroups: [] };
  }

  function follow(checking: Promise<void>): readonly string[] {
    const outcomes: string[] = [];
    checking.then(
      () => outcomes.push("confined"),
      (error: unknown) => outcomes.push(String(error)),
    );
    return outcomes;
  }

  async function hold(): Promise<void> {
    const begun = performance.now();
    await vi.waitUntil(() => performance.now() - begun > HOLD_MS, { timeout: 20_000 });
  }

  test("is waited for while the process is still the runtime's, however long that has no processor", async () => {
    const checking = assertConfined(await start("confined"), UID, new AbortController().signal);
    const outcomes = follow(checking);
    await hold();
    expect(outcomes).toEqual([]);
    runtime?.kill("SIGCONT");
    await expect(checking).resolves.toBeUndefined();
  });

  test("is a breach where the command runs without it", async () => {
    const checking = assertConfined(await start("bare"), UID, new AbortController().signal);
    checking.catch(() => undefined);
    runtime?.kill("SIGCONT");
    await expect(checking).rejects.toMatchObject({ code: "isolation_failed" });
  });

  test("is not waited for by a caller that has left", async () => {
    const leaving = new AbortController();
    const checking = assertConfined(await start("confined"), UID, leaving.signal);
    leaving.abort();
    await expect(checking).resolves.toBeUndefined();
  });
});
