import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "../config/home.ts";
import type { Driver, Mount, WorkspaceSource } from "../drivers/driver.ts";
import { PaddockError, toPaddockError } from "../errors/error.ts";
import { identifyProcess } from "../lib/process-identity.ts";
import { makeSandboxId, type SandboxId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { EgressProxy } from "../network/proxy.ts";
import { Channel, type ChannelEvents } from "../sandbox/channel.ts";
import type { SandboxHost } from "../sandbox/host.ts";
import { Sandbox, type SandboxSettings } from "../sandbox/sandbox.ts";

export interface CreateRequest {
  readonly limits: Limits;
  readonly workspace: WorkspaceSource;
  readonly workspacePath: string;
  readonly mounts: readonly Mount[];
  /** Content hash, for the record. */
  readonly templateHash?: string;
  readonly nodeType?: NodeType;
  /** Immutable id of the image it starts from; undefined where nodes start from template folders. */
  readonly image?: string | undefined;
  /** Folder name of the template, so that pruning leaves it alone. */
  readonly templateName?: string;
  readonly proxy: EgressProxy;
  readonly settings: (id: SandboxId) => SandboxSettings;
  readonly signal: AbortSignal;
}

export interface CreateParts {
  readonly home: Home;
  readonly driver: Driver;
}

/** Names the process that makes and owns the sandbox, so that its folder goes when that process is gone. */
export const MAKER_MARK = "maker.json";
/** Names the template a live sandbox uses, so that pruning leaves it alone. */
export const TEMPLATE_MARK = "template";

/**
 * Makes a sandbox and waits for its supervisor. Leaves nothing behind when it throws; a sandbox that comes up after the caller
 * left is destroyed.
 */
export async function createSandbox(parts: CreateParts, request: CreateRequest): Promise<Sandbox> {
  const id = makeSandboxId();
  const runDir = join(parts.home.run, id);
  const socketDir = join(runDir, "socket");
  mkdirSync(socketDir, { recursive: true, mode: 0o711 });
  writeFileSync(join(runDir, MAKER_MARK), JSON.stringify(identifyProcess(process.pid)), { mode: 0o600 });
  if (request.templateName !== undefined) writeFileSync(join(runDir, TEMPLATE_MARK), request.templateName);
  const key = randomBytes(16).toString("hex");
  let sandbox: Sandbox | undefined;
  let host: SandboxHost | undefined;
  let earlyBreach: PaddockError | undefined;
  const channel = await listen(runDir, socketDir, key, {
    relay: (tunnel, callId) => request.proxy.handle(tunnel, callId),
    breach: (error) => {
      earlyBreach = toPaddockError(error);
      if (sandbox) void sandbox.kill(earlyBreach);
      else void host?.kill(earlyBreach.message);
    },
  });
  try {
    const { limits, workspace, workspacePath, mounts, nodeType, image, templateHash, signal } = request;
    const spec = {
      id,
      limits,
      workspace,
      workspacePath,
      mounts,
      socketDir,
      key,
      ...(nodeType === undefined ? {} : { nodeType }),
      ...(image === undefined ? {} : { image }),
      ...(templateHash === undefined ? {} : { templateHash }),
    };
    host = await parts.driver.create(spec, signal);
    if (host.stdio) channel.attach(host.stdio);
    const afterClose = (): void => rmSync(runDir, { recursive: true, force: true });
    sandbox = await Sandbox.open({ id, channel, host, afterClose }, request.settings(id), signal);
    return sandbox;
  } catch (error) {
    await host?.destroy();
    await channel[Symbol.asyncDispose]();
    rmSync(runDir, { recursive: true, force: true });
    throw explainFailure(request.signal, earlyBreach ?? error);
  }
}

async function listen(runDir: string, socketDir: string, key: string, events: ChannelEvents): Promise<Channel> {
  try {
    return await Channel.listen(socketDir, key, events);
  } catch (cause) {
    rmSync(runDir, { recursive: true, force: true });
    throw new PaddockError("create_failed", `no socket could be opened in ${socketDir}`, { cause });
  }
}

/** What stopped a create: the caller's signal keeps its own reason, everything else is a coded error. */
function explainFailure(signal: AbortSignal, error: unknown): PaddockError {
  if (!signal.aborted || error instanceof PaddockError) return toPaddockError(error);
  return new PaddockError("cancelled", "the sandbox was not needed any more", { cause: error });
}
