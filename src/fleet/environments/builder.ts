import { chownSync } from "node:fs";
import { PaddockError } from "../../errors/error.ts";
import { removeOrOwe } from "../../lib/owe.ts";
import { CACHE_DIR, ENV_DIR } from "../../model/guest-paths.ts";
import { makeToolCallId, type SandboxId, type ToolCallId } from "../../model/ids.ts";
import { DEFAULT_LIMITS, type Limits } from "../../model/limits.ts";
import type { EgressRecord } from "../../model/record.ts";
import { GIB } from "../../model/units.ts";
import type { Sandbox, SandboxSettings } from "../../sandbox/sandbox.ts";
import { type CreateParts, createSandbox } from "../make/create.ts";
import type { EgressPolicies } from "../make/egress.ts";
import { makeSettings } from "./sandbox-settings.ts";
import type { BuildRequest, TemplateBuilder, TreeHash } from "./templates.ts";

const REGISTRIES = "pypi,npm";
const BUILD_LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  memoryBytes: 2 * GIB,
  cpus: 2,
  pids: 512,
  tmpBytes: GIB,
  workspaceBytes: 8 * GIB,
  callTimeoutMs: 20 * 60_000,
};

/** A built tree that is to become part of an image. */
export interface TreeRequest {
  readonly folder: string;
  /** What the porter starts from. */
  readonly image?: string;
  readonly signal: AbortSignal;
}

export interface Tree {
  readonly hash: TreeHash;
  /** Text of `ready.json`; from a sandbox. */
  readonly readiness: string;
}

export interface TreeReader {
  /** Streams the tree as a tar into `sink`, and hashes it, in one porter. */
  readTree(request: TreeRequest, sink: (chunk: Buffer) => void | Promise<void>): Promise<Tree>;
}

export interface BuilderParts extends CreateParts {
  /** Host uid and gid of template trees; as root one that no sandbox of a task ever gets. */
  readonly treeUid: number;
  readonly treeGid: number;
  readonly policies: EgressPolicies;
  readonly hasCaBundle: boolean;
}

/** Builds template trees in a sandbox that reaches the registries only, and reads them in porters. */
export function makeTemplateBuilder(parts: BuilderParts): TemplateBuilder & TreeReader {
  return {
    build: (request) => buildTree(parts, request),
    hashTree: (folder, signal) => inPorter(parts, { folder, signal }, (porter) => porter.files.hashTree(".")),
    readFile: (folder, path, signal) => inPorter(parts, { folder, signal }, (porter) => porter.files.read(path)),
    readTree: (request, sink) => inPorter(parts, request, (porter) => readTree(porter, sink)),
  };
}

async function buildTree(parts: BuilderParts, request: BuildRequest): Promise<void> {
  await parts.policies.assertReachable(REGISTRIES);
  chownSync(request.folder, parts.treeUid, parts.treeGid);
  chownSync(request.cache, parts.treeUid, parts.treeGid);
  await using proxy = parts.policies.makeProxy(await parts.policies.compile(REGISTRIES));
  const registryEnv = await parts.policies.registryEnv(REGISTRIES);
  const sandbox = await createSandbox(parts, {
    limits: BUILD_LIMITS,
    workspace: { kind: "folder", path: request.folder, uid: parts.treeUid, gid: parts.treeGid, readOnly: false },
    workspacePath: ENV_DIR,
    mounts: [{ source: request.cache, target: CACHE_DIR, writable: true }],
    nodeType: request.plan.nodeType,
    image: request.image,
    proxy,
    settings: (id) => buildSettings(parts, id, registryEnv),
    signal: request.signal,
  });
  const callId = makeToolCallId();
  const [built] = await Promise.allSettled([runSetup(sandbox, request, callId)]);
  const [closed] = await Promise.allSettled([removeOrOwe(parts.owe, sandbox.id, () => sandbox.close())]);
  if (built.status === "rejected") throw explainUnreachable(built.reason, proxy.ledger.peek(callId).egress);
  // A tree that something may still write to is no template.
  if (closed.status === "rejected") throw closed.reason;
}

async function runSetup(sandbox: Sandbox, request: BuildRequest, callId: ToolCallId): Promise<void> {
  await sandbox.files.write("/tmp/setup.sh", request.setupCode, { mode: 0o644 });
  const lines = new LineReader(request.onProgress);
  const result = await sandbox.runProcess({
    callId,
    // The tree is shared by sandboxes of other uids.
    argv: ["/bin/bash", "-c", "umask 022; chmod 755 .; exec /bin/bash /tmp/setup.sh"],
    deadlineMs: BUILD_LIMITS.callTimeoutMs,
    signal: request.signal,
    onOutput: (stream, chunk) => {
      if (stream === "stderr") lines.push(chunk);
    },
  });
  request.signal.throwIfAborted();
  if (result.ended === "exit" && result.report?.exit_code === 0) return;
  const tail = (result.stderr.text + result.stdout.text).trim().split("\n").slice(-15).join("\n");
  const how = result.error?.message ?? `exit code ${result.report?.exit_code ?? "unknown"} (${result.ended})`;
  throw new PaddockError("setup_failed", `the setup code of ${request.plan.name} ended with ${how}:\n${tail}`, {
    cause: result.error,
  });
}

function buildSettings(
  parts: BuilderParts,
  id: SandboxId,
  registryEnv: Readonly<Record<string, string>>,
): SandboxSettings {
  const settings = makeSettings({
    sandboxId: id,
    nodeType: "file",
    limits: BUILD_LIMITS,
    template: undefined,
    workspacePath: ENV_DIR,
    env: {
      ENV_DIR,
      HOME: "/tmp",
      PIP_CACHE_DIR: `${CACHE_DIR}/pip`,
      npm_config_cache: `${CACHE_DIR}/npm`,
      // npm would write the URL of every package into the tree, and with it the name of the operator's mirror.
      npm_config_omit_lockfile_registry_resolved: "true",
    },
    registryEnv,
    hasCaBundle: parts.hasCaBundle,
  });
  const { PIP_NO_CACHE_DIR: _noCache, PYTHONDONTWRITEBYTECODE: _noBytecode, ...env } = settings.env;
  return { ...settings, env };
}

async function readTree(porter: Sandbox, sink: (chunk: Buffer) => void | Promise<void>): Promise<Tree> {
  const readiness = (await porter.files.read("ready.json")).toString("utf8");
  const hash = await porter.files.hashTree(".");
  await porter.files.exportTar(".", sink);
  return { hash, readiness };
}

/** Runs `work` in a sandbox without guest code that sees only `folder`, read-only. */
async function inPorter<T>(
  parts: BuilderParts,
  { folder, image, signal }: TreeRequest,
  work: (porter: Sandbox) => Promise<T>,
): Promise<T> {
  await using proxy = parts.policies.makeProxy(await parts.policies.compile("none"));
  const porter = await createSandbox(parts, {
    limits: { ...DEFAULT_LIMITS, memoryBytes: GIB, cpus: 2 },
    workspace: { kind: "folder", path: folder, uid: parts.treeUid, gid: parts.treeGid, readOnly: true },
    workspacePath: ENV_DIR,
    mounts: [],
    nodeType: "file",
    image,
    proxy,
    settings: (id) => buildSettings(parts, id, {}),
    signal,
  });
  try {
    return await work(porter);
  } finally {
    await removeOrOwe(parts.owe, porter.id, () => porter.close()).catch(() => undefined);
  }
}

/** Says that the registry could not be reached when every upstream of the build failed. */
function explainUnreachable(error: unknown, rows: readonly EgressRecord[]): unknown {
  if (rows.length === 0 || rows.some((row) => row.verdict === "allowed" && row.rx_bytes > 0)) return error;
  const row = rows[0];
  return new PaddockError(
    "registry_unreachable",
    `no registry answered (${row?.host}:${row?.port}: ${row?.reason ?? "no answer"})`,
    { cause: error },
  );
}

/** Lines of setup code that tell a step; what pip and npm print between them is shown only when the build fails. */
const STEP_MARK = "setup: ";

/** Finds the steps in a stream. */
class LineReader {
  readonly #emit: (line: string) => void;
  #rest = "";

  constructor(emit: (line: string) => void) {
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString("utf8")).split("\n");
    this.#rest = (lines.pop() ?? "").slice(-4096);
    for (const line of lines) if (line.startsWith(STEP_MARK)) this.#emit(line.slice(STEP_MARK.length, 300));
  }
}
