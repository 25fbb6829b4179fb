import { randomBytes } from "node:crypto";
import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "../../config/home.ts";
import type { Adoption, Driver, Mount, SandboxSpec, WorkspaceSource } from "../../drivers/driver.ts";
import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { type Owe, removeOrOwe } from "../../lib/owe.ts";
import { identifyProcess, type ProcessIdentity } from "../../lib/process-identity.ts";
import { removeFolder } from "../../lib/remove-folder.ts";
import { makeSandboxId, type SandboxId } from "../../model/ids.ts";
import type { Limits } from "../../model/limits.ts";
import type { NodeType } from "../../model/node-type.ts";
import { announceStep } from "../../model/steps.ts";
import type { EgressProxy } from "../../network/proxy/proxy.ts";
import { Sandbox, type SandboxSettings } from "../../sandbox/sandbox.ts";
import { Wiring } from "./sandbox-channel-setup.ts";

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
  /** Lets another process take the sandbox over. */
  readonly adoption?: Adoption | undefined;
  readonly proxy: EgressProxy;
  readonly settings: (id: SandboxId) => SandboxSettings;
  /** Runs once nothing of the sandbox lives or is held any more, whether it was made or not. */
  readonly afterGone?: () => void;
  readonly signal: AbortSignal;
}

export interface CreateParts {
  readonly home: Home;
  readonly driver: Driver;
  /** Takes what could not be removed. */
  readonly owe: Owe;
}

/** Names the process that owns the sandbox, so that its folder goes when that process is gone. */
export const MAKER_MARK = "maker.json";
/** Names the template a live sandbox uses, so that pruning leaves it alone. */
export const TEMPLATE_MARK = "template";
/** A template without it is not there, or is about to go. */
export const TEMPLATE_MANIFEST = "manifest.json";

const DRAFT = /^\.new-(\d+)-(\d+)-([0-9a-f-]{36})-sbx_/;

function nameDraft(id: SandboxId): string {
  const { pid, startTicks, bootId } = identifyProcess(process.pid) ?? {};
  return `.new-${pid}-${startTicks}-${bootId}-${id}`;
}

/** Who makes the run folder of this name; undefined for one that has its own. */
export function readDraft(name: string): ProcessIdentity | undefined {
  const [, pid, startTicks = "", bootId = ""] = DRAFT.exec(name) ?? [];
  return pid === undefined ? undefined : { pid: Number(pid), startTicks, bootId };
}

/** Says in a sandbox's run folder who owns it and what it uses. */
export function markRunFolder(runDir: string, templateName: string | undefined): void {
  writeFileSync(join(runDir, MAKER_MARK), JSON.stringify(identifyProcess(process.pid)), { mode: 0o600 });
  if (templateName !== undefined) writeFileSync(join(runDir, TEMPLATE_MARK), templateName);
}

/**
 * Makes a sandbox and waits for its supervisor. Throws `template_missing` when its template was pruned since it was
 * chosen. Leaves nothing behind when it throws; a sandbox that comes up after the caller left is destroyed. What cannot
 * be removed then is owed, and the error stays that of the create.
 */
export async function createSandbox(parts: CreateParts, request: CreateRequest): Promise<Sandbox> {
  const making = new Making(parts, request);
  try {
    return await making.make();
  } catch (error) {
    await removeOrOwe(parts.owe, making.id, () => making.remove()).catch(() => undefined);
    throw explainFailure(request.signal, making.breach ?? error);
  }
}

/** One sandbox on its way, and everything that has to go when it does not come up. */
class Making {
  readonly id = makeSandboxId();
  readonly #parts: CreateParts;
  readonly #request: CreateRequest;
  readonly #runDir: string;
  #wiring: Wiring | undefined;
  /** The driver has given what it made to the sweeper. */
  #isOwed = false;

  constructor(parts: CreateParts, request: CreateRequest) {
    this.#parts = parts;
    this.#request = request;
    this.#runDir = join(parts.home.run, this.id);
  }

  get breach(): PaddockError | undefined {
    return this.#wiring?.breach;
  }

  async make(): Promise<Sandbox> {
    const { id } = this;
    const { home, driver } = this.#parts;
    const request = this.#request;
    const socketDir = join(this.#runDir, "socket");
    const key = randomBytes(16).toString("hex");
    makeRunFolder(home.run, id, request.templateName);
    assertTemplate(home, request);
    const wiring = await Wiring.listen(socketDir, key, request.proxy);
    this.#wiring = wiring;
    announceStep("listening", id);
    const host = await driver.create(describeSandbox(id, socketDir, key, request), request.signal, this.#owe);
    wiring.host = host;
    announceStep("driver made it", id);
    if (host.stdio) wiring.channel.attach(host.stdio);
    const made = { id, channel: wiring.channel, host, afterClose: () => this.#finish() };
    wiring.sandbox = await Sandbox.open(made, request.settings(id), request.signal);
    announceStep("supervisor answered", id);
    return wiring.sandbox;
  }

  async remove(): Promise<void> {
    try {
      await this.#wiring?.host?.destroy();
    } finally {
      await this.#wiring?.channel[Symbol.asyncDispose]();
      await removeFolder(this.#runDir);
      await removeFolder(join(this.#parts.home.run, nameDraft(this.id)));
    }
    if (!this.#isOwed) this.#request.afterGone?.();
  }

  readonly #owe: Owe = (id, remove, error) => {
    this.#isOwed = true;
    const removeAll = async (): Promise<void> => {
      await remove();
      this.#request.afterGone?.();
    };
    this.#parts.owe(id, removeAll, error);
  };

  async #finish(): Promise<void> {
    this.#request.afterGone?.();
    await removeFolder(this.#runDir);
  }
}

/** It has its name only once it says whose it is; until then its name does, so that a sweep never has to guess. */
function makeRunFolder(run: string, id: SandboxId, templateName: string | undefined): void {
  const draft = join(run, nameDraft(id));
  makeOpenFolder(join(draft, "socket"));
  announceStep("run folder begun", id);
  markRunFolder(draft, templateName);
  renameSync(draft, join(run, id));
  announceStep("run folder", id);
}

/** After the mark: a prune that comes later sees that, and one that came before is seen here. */
function assertTemplate({ templates }: Home, { templateName, image }: CreateRequest): void {
  if (templateName === undefined || image !== undefined) return;
  if (existsSync(join(templates, templateName, TEMPLATE_MANIFEST))) return;
  throw new PaddockError("template_missing", `template ${templateName.slice(0, 12)} was pruned meanwhile`);
}

function describeSandbox(id: SandboxId, socketDir: string, key: string, request: CreateRequest): SandboxSpec {
  const { limits, workspace, workspacePath, mounts, nodeType, image, templateHash, adoption } = request;
  return {
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
    ...(adoption === undefined ? {} : { adoption }),
  };
}

/** What stopped a create: the caller's signal keeps its own reason, everything else is a coded error. */
function explainFailure(signal: AbortSignal, error: unknown): PaddockError {
  if (!signal.aborted || error instanceof PaddockError) return toPaddockError(error);
  return new PaddockError("cancelled", "the sandbox was not needed any more", { cause: error });
}
