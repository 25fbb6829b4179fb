import { subscribe } from "node:diagnostics_channel";
import { writeSync } from "node:fs";
import { createApp } from "../../src/app.ts";
import { createPaddock, type SandboxOptions, type TaskRequest } from "../../src/index.ts";
import type { VolumeId } from "../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { StepTaken } from "../../src/model/steps.ts";
import { listNames, readText } from "../conformance/driver/scan.ts";

/**
 * A library process for tests that kill it. It says the ids of its sandboxes.
 *   work              a call that sleeps in one sandbox, and another sandbox: to be killed in the middle of it
 *   churn             makes and removes sandboxes until it is killed
 *   step NAME [HOW]   runs a task and kills itself right after the named step (src/model/steps.ts); HOW is `launcher`: kills its launcher just
 *                     before, or `survive`: with a sandbox that outlives it for a millisecond
 *   volume NAME HOW ID
 *                     the same with the second of two sandboxes over a volume, where the first has written the step's name to `turns`
 */
const [mode, step, how, volumeId] = process.argv.slice(2);
let isArmed = mode === "step";

subscribe("paddock:step", (message) => {
  const taken = message as StepTaken;
  if (taken.step === "run folder begun") writeSync(1, `${taken.sandboxId}\n`);
  if (!isArmed || taken.step !== step) return;
  if (how === "launcher") for (const pid of listChildren()) process.kill(pid, "SIGKILL");
  process.kill(process.pid, "SIGKILL");
});

function listChildren(): number[] {
  const tasks = `/proc/${process.pid}/task`;
  const children = listNames(tasks).map((task) => readText(`${tasks}/${task}/children`));
  return children.flatMap((text) => text.split(" ").filter(Boolean).map(Number));
}

const sleeper = (seconds: number): TaskRequest => ({
  code: { language: "python", source: `import time\nprint('on', flush=True)\ntime.sleep(${seconds})` },
  bare: true,
});
const bare: SandboxOptions = { nodeType: "file", bare: true };

/** Leases the volume, writes and closes; the second time the step ends it. */
async function useVolume(id: VolumeId): Promise<void> {
  await using app = await createApp();
  const limits = DEFAULT_LIMITS;
  await app.fleet.volumes.make(id, limits.workspaceBytes);
  for (const argv of [["sh", "-c", 'echo "$0" >> turns', step ?? ""], ["true"]]) {
    await using lease = await app.fleet.lease({
      nodeType: "file",
      limits,
      network: "none",
      env: {},
      bare: true,
      signal: AbortSignal.timeout(30_000),
      onProgress: () => undefined,
      workspace: { kind: "volume", volumeId: id, readOnly: false },
    });
    await lease.sandbox.runProcess({ argv });
    await lease.close();
    isArmed = true;
  }
}

if (mode === "volume") await useVolume(volumeId as VolumeId);
await using paddock = await createPaddock();
if (mode === "work") {
  const onEvent = (event: { type: string; chunk?: unknown }): void => {
    if (event.type === "output") writeSync(1, event.chunk as Buffer);
  };
  await Promise.all([paddock.open(bare), paddock.run(sleeper(60), { onEvent })]);
} else if (how === "survive") {
  await using _lease = await paddock.open({ ...bare, survive: 1 });
} else {
  do {
    const { error } = await paddock.run(sleeper(0));
    if (error !== undefined) throw new Error(`the victim's task failed: ${error.code}: ${error.message}`);
  } while (mode === "churn");
}
