import type { App } from "../../src/app.ts";
import type { Lease } from "../../src/fleet/leases/lease.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";

/** A small sandbox whose workspace is `/agent`. */
export async function leaseAgent(app: App, env: Readonly<Record<string, string>> = {}): Promise<Lease> {
  return await app.fleet.lease({
    nodeType: "python",
    limits: { ...DEFAULT_LIMITS, workspaceBytes: 64 * 1024 * 1024 },
    network: "none",
    env,
    bare: true,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    workspacePath: "/agent",
  });
}

/** Runs a script that has to succeed; what it prints. */
export async function bash({ sandbox }: Lease, script: string): Promise<string> {
  const { report, stdout, stderr } = await sandbox.runProcess({ argv: ["bash", "-c", script] });
  if (report?.exit_code !== 0) throw new Error(`${script}: ${stderr.text}`);
  return stdout.text;
}

export async function inAgent(app: App, use: (lease: Lease) => Promise<void>): Promise<void> {
  await using lease = await leaseAgent(app);
  await use(lease);
}
