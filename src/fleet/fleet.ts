import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { Driver, ReapReport, WorkspaceSource } from "../drivers/driver.ts";
import { PaddockError } from "../errors/error.ts";
import { isAlive, type ProcessIdentity } from "../lib/process-identity.ts";
import { DEFAULT_REQUESTS, type Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { EgressProxy } from "../network/proxy.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { Admission } from "./admission.ts";
import { makeTemplateBuilder } from "./builder.ts";
import { createSandbox, MAKER_MARK } from "./create.ts";
import { EgressPolicies } from "./egress.ts";
import type { Environment, Environments, Template } from "./environments.ts";
import { ImageStore } from "./images.ts";
import { describeInterpreters } from "./interpreters.ts";
import { makeSettings } from "./nodes.ts";
import { ENV_DIR, WORKSPACE } from "./places.ts";
import { TemplateStore } from "./templates.ts";
import { watchWorkspaceSize } from "./workspace-size.ts";

/** Template trees belong to a uid that no task's sandbox ever gets. */
const TREE_UID = 199_999;
/** A run folder whose maker is not named yet is left alone this long. */
const RUN_GRACE_MS = 60_000;

export interface LeaseRequest {
  readonly nodeType: NodeType;
  readonly limits: Limits;
  /** Egress policy as written (docs/network.md). */
  readonly network: string | readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Start from the bare node instead of the type's template. */
  readonly bare: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (message: string) => void;
  readonly workspace?: WorkspaceSource;
  /** Refuse with `template_missing` or `image_missing` instead of building a template or an image. */
  readonly buildTemplates?: boolean;
}

/** A sandbox in use, with the account of its network. */
export interface Lease extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly proxy: EgressProxy;
  readonly nodeType: NodeType;
  readonly limits: Limits;
  readonly template: Template | undefined;
  close(options?: { readonly keepWorkspace?: boolean }): Promise<void>;
}

/** Makes sandboxes of the node types: templates, egress, admission and reaping around one driver. */
export class Fleet implements AsyncDisposable {
  /** Present where the driver's nodes start from images. */
  readonly images: ImageStore | undefined;
  readonly #templates: TemplateStore;
  readonly #config: Config;
  readonly #driver: Driver;
  readonly #admission: Admission;
  readonly #policies: EgressPolicies;
  readonly #environments: Environments;
  readonly #leases = new Set<Lease>();
  #started: Promise<void> | undefined;

  constructor(config: Config, driver: Driver, env: NodeJS.ProcessEnv) {
    this.#config = config;
    this.#driver = driver;
    this.#admission = new Admission({ overcommit: config.overcommit });
    this.#policies = new EgressPolicies(config.trustedUpstreams, env);
    const uid = process.getuid?.() ?? 0;
    const builder = makeTemplateBuilder({
      home: config.home,
      driver,
      treeUid: uid === 0 ? TREE_UID : uid,
      treeGid: uid === 0 ? TREE_UID : (process.getgid?.() ?? 0),
      policies: this.#policies,
      hasCaBundle: config.caBundle !== undefined,
    });
    this.#templates = new TemplateStore(config.home.templates, config.home.run, builder, () =>
      describeInterpreters(config.home),
    );
    this.images = driver.images && new ImageStore({ home: config.home, engine: driver.images, builder });
    this.#environments = this.images ?? this.#templates;
  }

  /** Template folders. Throws `unsupported` where nodes start from images instead. */
  get templates(): TemplateStore {
    if (this.images === undefined) return this.#templates;
    throw new PaddockError(
      "unsupported",
      `nodes of the ${this.#driver.name} driver start from images, not from templates`,
      {
        hint: "Use `paddock images`.",
      },
    );
  }

  /** Starts the driver and removes what dead owners left. Called by the first lease; idempotent. */
  async start(): Promise<void> {
    this.#started ??= this.#driver.start().then(async () => {
      await this.reap();
    });
    await this.#started;
  }

  async reap(): Promise<ReapReport> {
    const report = await this.#driver.reap();
    removeUnownedRuns(this.#config.home.run, this.#config.home.owners);
    return report;
  }

  /** A sandbox of a node type. Throws `capacity`, `invalid_policy`, template and driver errors; leaves nothing behind when it throws. */
  async lease(request: LeaseRequest): Promise<Lease> {
    await this.start();
    const policy = await this.#policies.compile(request.network);
    const environment = await this.#environments.open(request.bare ? "base" : request.nodeType, {
      signal: request.signal,
      onProgress: request.onProgress,
      build: request.buildTemplates ?? true,
    });
    const release = this.#admission.admit(DEFAULT_REQUESTS, request.limits);
    const proxy = this.#policies.makeProxy(policy);
    try {
      const sandbox = await this.#create(request, environment, proxy);
      return this.#track(sandbox, proxy, request, environment.template, release);
    } catch (error) {
      this.#environments.forget();
      release();
      await proxy[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A sandbox that sees one host folder as its workspace, has no network and runs no guest code (docs/security.md). */
  async openPorter(
    folder: string,
    owner: { uid: number; gid: number },
    readOnly: boolean,
    signal: AbortSignal,
  ): Promise<Lease> {
    return await this.lease({
      nodeType: "file",
      limits: { ...PORTER_LIMITS },
      network: "none",
      env: {},
      bare: true,
      signal,
      onProgress: () => undefined,
      workspace: { kind: "folder", path: folder, ...owner, readOnly, porter: true },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const results = await Promise.allSettled([...this.#leases].map((lease) => lease.close()));
    await this.#driver[Symbol.asyncDispose]();
    const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    if (failed.length > 0) throw new AggregateError(failed, "some sandboxes could not be closed");
  }

  async #create(request: LeaseRequest, { template, image }: Environment, proxy: EgressProxy): Promise<Sandbox> {
    const folder = template?.folder;
    const registryEnv = await this.#policies.registryEnv(request.network);
    return await createSandbox(
      { home: this.#config.home, driver: this.#driver },
      {
        limits: request.limits,
        workspace: request.workspace ?? { kind: "new" },
        workspacePath: WORKSPACE,
        mounts: folder === undefined ? [] : [{ source: folder, target: ENV_DIR, writable: false }],
        nodeType: request.nodeType,
        image,
        ...(template === undefined ? {} : { templateHash: template.contentHash, templateName: template.hash }),
        proxy,
        settings: (sandboxId) =>
          makeSettings({
            sandboxId,
            nodeType: request.nodeType,
            limits: request.limits,
            template,
            env: request.env,
            registryEnv,
            hasCaBundle: this.#config.caBundle !== undefined,
          }),
        signal: request.signal,
      },
    );
  }

  #track(
    sandbox: Sandbox,
    proxy: EgressProxy,
    request: LeaseRequest,
    template: Template | undefined,
    release: () => void,
  ): Lease {
    const stopWatching = watchWorkspaceSize(sandbox, request.limits.workspaceBytes);
    let closing: Promise<void> | undefined;
    const close = async (options: { readonly keepWorkspace?: boolean } = {}): Promise<void> => {
      stopWatching();
      this.#leases.delete(lease);
      await sandbox.close(options);
      await proxy[Symbol.asyncDispose]();
      release();
    };
    const lease: Lease = {
      sandbox,
      proxy,
      nodeType: request.nodeType,
      limits: request.limits,
      template,
      close: (options) => (closing ??= close(options)),
      [Symbol.asyncDispose]: () => lease.close(),
    };
    this.#leases.add(lease);
    return lease;
  }
}

const PORTER_LIMITS: Limits = {
  memoryBytes: 512 * 1024 ** 2,
  cpus: 2,
  pids: 32,
  workspaceBytes: 1024 ** 4,
  tmpBytes: 64 * 1024 ** 2,
  openFiles: 1024,
  outputBytes: 1024 ** 2,
  spillBytes: 0,
  callTimeoutMs: 600_000,
  taskTimeoutMs: 600_000,
};

function removeUnownedRuns(run: string, owners: string): void {
  if (!existsSync(run)) return;
  for (const id of readdirSync(run)) {
    const path = join(run, id);
    if (!existsSync(join(owners, id)) && hasLostItsMaker(path)) rmSync(path, { recursive: true, force: true });
  }
}

function hasLostItsMaker(path: string): boolean {
  try {
    return !isAlive(JSON.parse(readFileSync(join(path, MAKER_MARK), "utf8")) as ProcessIdentity);
  } catch {
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    return age > RUN_GRACE_MS;
  }
}
