import { dirname } from "node:path";
import type { Config } from "../config/config.ts";
import type { AdoptedSandbox, Driver, ProbeFinding, ReapReport, Volumes, WorkspaceSource } from "../drivers/driver.ts";
import { PaddockError, toPaddockError } from "../errors/error.ts";
import { removeOrOwe } from "../lib/owe.ts";
import { removeFolder } from "../lib/remove-folder.ts";
import { ENV_DIR, WORKSPACE } from "../model/guest-paths.ts";
import type { SandboxId, VolumeId } from "../model/ids.ts";
import { DEFAULT_REQUESTS, type Limits } from "../model/limits.ts";
import { GIB, MIB } from "../model/units.ts";
import type { EgressPolicy } from "../network/policy/policy.ts";
import type { Sandbox, SandboxSettings } from "../sandbox/sandbox.ts";
import { makeTemplateBuilder } from "./environments/builder.ts";
import type { Environment, Environments, Template } from "./environments/environments.ts";
import { ImageStore } from "./environments/images.ts";
import { describeInterpreters } from "./environments/interpreters.ts";
import { makeSettings } from "./environments/sandbox-settings.ts";
import { TemplateStore } from "./environments/templates.ts";
import { Admission } from "./leases/admission.ts";
import { readLease, refuse, resumeSandbox, saveLease } from "./leases/adopt.ts";
import { type Lease, type Leased, type LeaseRequest, makeLease } from "./leases/lease.ts";
import { type CreateParts, type CreateRequest, createSandbox } from "./make/create.ts";
import { EgressPolicies } from "./make/egress.ts";
import { describeSweep, SWEEP_MS, Sweeper } from "./sweep.ts";

export type { Lease, LeaseRequest } from "./leases/lease.ts";

/** Template trees belong to a uid that no task's sandbox ever gets. */
const TREE_UID = 199_999;

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
  readonly #sweeper: Sweeper;
  readonly #parts: CreateParts;
  #started: Promise<void> | undefined;

  /** Sweeps every `sweepMs` (default a minute) once it has started. */
  constructor(config: Config, driver: Driver, env: NodeJS.ProcessEnv, options: { readonly sweepMs?: number } = {}) {
    this.#config = config;
    this.#driver = driver;
    this.#sweeper = new Sweeper(driver, config.home, options.sweepMs ?? SWEEP_MS);
    this.#parts = { home: config.home, driver, owe: this.#sweeper.owe };
    this.#admission = new Admission({ overcommit: config.overcommit });
    this.#policies = new EgressPolicies(config.trustedUpstreams, env);
    const uid = process.getuid?.() ?? 0;
    const builder = makeTemplateBuilder({
      ...this.#parts,
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

  /** Workspaces that outlive their sandboxes. Starts the driver first; `unsupported` where it has none. */
  readonly volumes: Volumes = {
    make: async (id, bytes) => await (await this.#openVolumes()).make(id, bytes),
    remove: async (id) => await (await this.#openVolumes()).remove(id),
    list: async () => await (await this.#openVolumes()).list(),
  };

  /**
   * Removes a volume that nobody names any more. False when it cannot go now, because a sandbox still uses it, say:
   * then a later sweep removes it.
   */
  async discardVolume(id: VolumeId): Promise<boolean> {
    await this.#openVolumes();
    return await removeOrOwe(this.#sweeper.owe, id, () => this.volumes.remove(id)).then(
      () => true,
      () => false,
    );
  }

  /** Whether sandboxes may outlive this process. Known for sure after `start`. */
  get survivesOwner(): boolean {
    return this.#driver.capabilities.survivesOwner && this.#driver.adopt !== undefined;
  }

  /**
   * Starts the driver and removes what dead owners left, now and in an interval. Called by the first lease; idempotent.
   */
  async start(): Promise<void> {
    this.#admission.assertDescriptors();
    this.#started ??= this.#driver.start().then(async () => {
      await this.reap();
      this.#sweeper.start();
    });
    await this.#started;
  }

  /** Removes what dead owners left, and nothing that is owned or being made. */
  async reap(): Promise<ReapReport> {
    return await this.#sweeper.sweep();
  }

  async probeDriver(): Promise<readonly ProbeFinding[]> {
    return await this.#driver.probe(this.#sweeper.owe);
  }

  /** The driver's findings and, where it can be used, those of a sweep. */
  async probe(): Promise<readonly ProbeFinding[]> {
    const findings = [...(await this.probeDriver()), this.#admission.describeDescriptors()];
    if (findings.some(({ status }) => status === "failed")) return findings;
    return [...findings, describeSweep(await this.reap())];
  }

  /**
   * A sandbox of a node type. Throws `capacity`, `invalid_policy`, template and driver errors; leaves nothing behind
   * when it throws.
   */
  async lease(request: LeaseRequest): Promise<Lease> {
    await this.start();
    if (request.survive !== undefined) this.#assertSurvival();
    const policy = await this.#policies.compile(request.network);
    for (;;) {
      const environment = await this.#environments.open(request.bare ? "base" : request.nodeType, {
        signal: request.signal,
        onProgress: request.onProgress,
        build: request.buildTemplates ?? true,
      });
      try {
        return await this.#leaseFrom(environment, request, policy);
      } catch (error) {
        // It was pruned since it was opened.
        if (!(error instanceof PaddockError && error.code === "template_missing")) throw error;
      }
    }
  }

  async #leaseFrom(environment: Environment, request: LeaseRequest, policy: EgressPolicy): Promise<Lease> {
    const settings = await this.#describe(request, environment.template);
    const afterGone = this.#admission.admit(DEFAULT_REQUESTS, request.limits);
    const proxy = this.#policies.makeProxy(policy);
    try {
      const sandbox = await this.#create(request, environment, { settings, proxy, afterGone });
      const { nodeType, limits } = request;
      return this.#track({ sandbox, proxy, nodeType, limits, template: environment.template });
    } catch (error) {
      this.#environments.forget();
      await proxy[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Takes over a living sandbox whose owner died: its processes, files and policy go on. It counts for admission, which
   * cannot refuse it. Throws `unsupported`, `not_found`, `adoption_refused`; a sandbox that was free to take but not
   * fit to go on is removed, also when `signal` aborts.
   */
  async adopt(id: SandboxId, signal: AbortSignal): Promise<Lease> {
    await this.start();
    this.#assertSurvival();
    signal.throwIfAborted();
    const adopted = await this.#driver.adopt?.(id, signal, this.#sweeper.owe).catch(async (error: unknown) => {
      await this.reap().catch(() => undefined);
      throw error;
    });
    if (adopted === undefined) throw new PaddockError("not_found", `there is no sandbox ${id}`);
    try {
      return await this.#resume(id, adopted, signal);
    } catch (error) {
      if (error instanceof PaddockError && error.code === "adoption_refused") throw error;
      if (signal.aborted)
        throw new PaddockError("cancelled", `sandbox ${id} was not needed any more`, { cause: error });
      throw refuse(id, toPaddockError(error).message, error);
    }
  }

  /** A sandbox that sees one host folder as its workspace, has no network and runs no guest code (docs/security.md). */
  async openPorter(
    folder: string,
    owner: { uid: number; gid: number },
    readOnly: boolean,
    signal: AbortSignal,
  ): Promise<Lease> {
    return await this.#leasePorter({ kind: "folder", path: folder, ...owner, readOnly, porter: true }, signal);
  }

  /**
   * A porter that sees a volume as its workspace. Throws `not_found`, and `capacity` while another sandbox writes to
   * the volume.
   */
  async openVolumePorter(volumeId: VolumeId, readOnly: boolean, signal: AbortSignal): Promise<Lease> {
    return await this.#leasePorter({ kind: "volume", volumeId, readOnly }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sweeper[Symbol.dispose]();
    const results = await Promise.allSettled([...this.#leases].map((lease) => lease.close()));
    await this.#driver[Symbol.asyncDispose]();
    const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    if (failed.length > 0) throw new AggregateError(failed, "some sandboxes could not be closed");
  }

  async #leasePorter(workspace: WorkspaceSource, signal: AbortSignal): Promise<Lease> {
    return await this.lease({
      nodeType: "file",
      limits: { ...PORTER_LIMITS },
      network: "none",
      env: {},
      bare: true,
      signal,
      onProgress: () => undefined,
      workspace,
    });
  }

  async #openVolumes(): Promise<Volumes> {
    await this.start();
    if (this.#driver.volumes !== undefined) return this.#driver.volumes;
    throw new PaddockError(
      "unsupported",
      `the ${this.#driver.name} driver has no workspaces that outlive sandboxes here`,
    );
  }

  #assertSurvival(): void {
    if (this.survivesOwner) return;
    throw new PaddockError("unsupported", `sandboxes of the ${this.#driver.name} driver end with their owner here`);
  }

  async #create(
    request: LeaseRequest,
    { template, image }: Environment,
    own: Pick<CreateRequest, "settings" | "proxy" | "afterGone">,
  ): Promise<Sandbox> {
    const folder = template?.folder;
    const { survive } = request;
    const lifetime = survive?.lifetimeMs === undefined ? {} : { lifetimeMs: survive.lifetimeMs };
    return await createSandbox(this.#parts, {
      limits: request.limits,
      workspace: request.workspace ?? { kind: "new" },
      workspacePath: request.workspacePath ?? WORKSPACE,
      mounts: folder === undefined ? [] : [{ source: folder, target: ENV_DIR, writable: false }],
      nodeType: request.nodeType,
      image,
      ...(template === undefined ? {} : { templateHash: template.contentHash, templateName: template.hash }),
      adoption: survive && { graceMs: survive.graceMs, ...lifetime, state: saveLease(request, template) },
      ...own,
      signal: request.signal,
    });
  }

  /** Removes the sandbox when this throws. */
  async #resume(id: SandboxId, adopted: AdoptedSandbox, signal: AbortSignal): Promise<Lease> {
    let release = (): void => undefined;
    const remove = async (): Promise<void> => {
      await adopted.host.destroy();
      release();
      await removeFolder(dirname(adopted.socketDir));
    };
    await using undo = new AsyncDisposableStack();
    undo.defer(() => removeOrOwe(this.#sweeper.owe, id, remove).catch(() => undefined));
    const state = readLease(id, adopted.state);
    const policy = await this.#policies.compile(state.network);
    release = this.#admission.count(DEFAULT_REQUESTS, state.limits);
    const proxy = undo.use(this.#policies.makeProxy(policy));
    const template = state.template ?? undefined;
    const describe = await this.#describe(state, template);
    const sandbox = await resumeSandbox({
      id,
      adopted,
      templateName: template?.hash,
      proxy,
      settings: describe(id),
      afterGone: release,
      signal,
    });
    undo.move();
    return this.#track({ sandbox, proxy, nodeType: state.nodeType, limits: state.limits, template });
  }

  async #describe(
    request: Pick<LeaseRequest, "nodeType" | "limits" | "env" | "network" | "workspacePath">,
    template: Template | undefined,
  ): Promise<(sandboxId: SandboxId) => SandboxSettings> {
    const { nodeType, limits, env, workspacePath = WORKSPACE } = request;
    const registryEnv = await this.#policies.registryEnv(request.network);
    const hasCaBundle = this.#config.caBundle !== undefined;
    return (sandboxId) =>
      makeSettings({ sandboxId, nodeType, limits, template, workspacePath, env, registryEnv, hasCaBundle });
  }

  #track(leased: Leased): Lease {
    const lease = makeLease(leased, {
      closing: () => this.#leases.delete(lease),
      owe: this.#sweeper.owe,
    });
    this.#leases.add(lease);
    return lease;
  }
}

const PORTER_LIMITS: Limits = {
  memoryBytes: 512 * MIB,
  cpus: 2,
  pids: 32,
  workspaceBytes: 1024 * GIB,
  tmpBytes: 64 * MIB,
  openFiles: 1024,
  outputBytes: MIB,
  spillBytes: 0,
  callTimeoutMs: 600_000,
  taskTimeoutMs: 600_000,
};
