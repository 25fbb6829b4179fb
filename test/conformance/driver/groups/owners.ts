import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { SandboxId, VolumeId } from "../../../../src/model/ids.ts";
import type { Bed } from "../bed.ts";
import type { DriverSubject } from "../subject.ts";

// The suite is compiled for publishing; the owner lies beside it either way.
const OWNER = fileURLToPath(new URL(`../owner${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));

/** A process that owns sandboxes and can be killed. */
export interface Owner extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly ids: readonly SandboxId[];
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
}

export interface OwnerOptions {
  /** Its sandboxes may be adopted for so long. */
  readonly graceMs?: number;
  /** What its sandbox has as its workspace. */
  readonly volumeId?: VolumeId;
}

export async function startOwner(
  subject: DriverSubject,
  bed: Bed,
  count: number,
  { graceMs = 0, volumeId }: OwnerOptions = {},
): Promise<Owner> {
  const args = [
    OWNER,
    subject.module ?? "",
    bed.home.root,
    String(count),
    String(graceMs),
    ...(volumeId ? [volumeId] : []),
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const gone = exited.then(() => Promise.reject(new Error("the owner ended before it had made its sandboxes")));
  gone.catch(() => undefined);
  const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), "line"), gone])) as [string];
  const ids = JSON.parse(line) as SandboxId[];
  bed.ids.push(...ids);
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  return { process: child, ids, kill, [Symbol.asyncDispose]: kill };
}
