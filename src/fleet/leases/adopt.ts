import { chmodSync, chownSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { AdoptedSandbox } from "../../drivers/driver.ts";
import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import { WORKSPACE } from "../../model/guest-paths.ts";
import type { SandboxId } from "../../model/ids.ts";
import { NODE_TYPES } from "../../model/node-type.ts";
import type { EgressProxy } from "../../network/proxy/proxy.ts";
import { Sandbox, type SandboxSettings } from "../../sandbox/sandbox.ts";
import type { Template } from "../environments/environments.ts";
import { markRunFolder } from "../make/create.ts";
import { Wiring } from "../make/sandbox-channel-setup.ts";
import type { LeaseRequest } from "./lease.ts";

const amount = z.number().positive();

const SavedTemplate = z.strictObject({
  nodeType: z.enum(NODE_TYPES),
  hash: z.string().regex(/^[0-9a-f]{16,128}$/),
  contentHash: z.string(),
  folder: z.string().exactOptional(),
  hasPython: z.boolean(),
  hasJavascript: z.boolean(),
  pythonPreload: z.array(z.string()),
  env: z.record(z.string(), z.string()),
  versions: z.record(z.string(), z.string()),
  bytes: z.number(),
});

/** What a fleet needs to lease a sandbox again after its owner died. Lies in the owner's record, mode 0600. */
const LeaseState = z.strictObject({
  version: z.literal(1),
  nodeType: z.enum(NODE_TYPES),
  limits: z.strictObject({
    memoryBytes: amount,
    cpus: amount,
    pids: amount,
    workspaceBytes: amount,
    tmpBytes: amount,
    openFiles: amount,
    outputBytes: amount,
    spillBytes: z.number().min(0),
    callTimeoutMs: amount,
    taskTimeoutMs: amount,
  }),
  network: z.union([z.string(), z.array(z.string())]),
  env: z.record(z.string(), z.string()),
  bare: z.boolean(),
  workspacePath: z.string().default(WORKSPACE),
  template: SavedTemplate.nullable(),
});
export type LeaseState = z.infer<typeof LeaseState>;

export function saveLease(request: LeaseRequest, template: Template | undefined): LeaseState {
  const { nodeType, limits, network, env, bare, workspacePath = WORKSPACE } = request;
  return {
    version: 1,
    nodeType,
    limits: { ...limits },
    network: typeof network === "string" ? network : [...network],
    env: { ...env },
    bare,
    workspacePath,
    template:
      template === undefined
        ? null
        : {
            ...template,
            pythonPreload: [...template.pythonPreload],
            env: { ...template.env },
            versions: { ...template.versions },
          },
  };
}

/** Throws `adoption_refused` for what this version did not write. */
export function readLease(id: SandboxId, state: unknown): LeaseState {
  const parsed = LeaseState.safeParse(state);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw refuse(id, `its record does not say how it was leased (${issue?.path.join(".")}: ${issue?.message})`);
}

export function refuse(id: string, why: string, cause?: unknown): PaddockError {
  return new PaddockError("adoption_refused", `sandbox ${id} cannot be adopted: ${why}`, { cause });
}

export interface Resumption {
  readonly id: SandboxId;
  readonly adopted: AdoptedSandbox;
  readonly templateName: string | undefined;
  readonly proxy: EgressProxy;
  readonly settings: SandboxSettings;
  /** Runs once the sandbox has been closed and nothing of it lives or is held any more. */
  readonly afterGone: () => void;
  readonly signal: AbortSignal;
}

/**
 * Listens again where the sandbox dials, and sends its settings anew. The caller removes the sandbox when this throws.
 */
export async function resumeSandbox(resumption: Resumption): Promise<Sandbox> {
  const { id, adopted, templateName, proxy, settings, afterGone, signal } = resumption;
  const { host, socketDir, socketOwner, key } = adopted;
  const runDir = dirname(socketDir);
  const wiring = await Wiring.listen(socketDir, key, proxy);
  wiring.host = host;
  try {
    markRunFolder(runDir, templateName);
    giveSocket(join(socketDir, "host.sock"), socketOwner);
    const afterClose = async (): Promise<void> => {
      afterGone();
      await removeFolder(runDir);
    };
    wiring.sandbox = await Sandbox.open({ id, channel: wiring.channel, host, afterClose }, settings, signal);
    return wiring.sandbox;
  } catch (error) {
    await wiring.channel[Symbol.asyncDispose]();
    if (signal.aborted) throw error;
    throw refuse(id, toPaddockError(wiring.breach ?? error).message, error);
  }
}

/** Whatever an owner that died in the middle of this left there. */
function giveSocket(path: string, { uid, gid }: AdoptedSandbox["socketOwner"]): void {
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
  chmodSync(path, 0o600);
}
