import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Home, resolveHome } from "../../../src/config/home.ts";
import type { Driver, SandboxSpec } from "../../../src/drivers/driver.ts";
import { makeSettings } from "../../../src/fleet/environments/sandbox-settings.ts";
import { createSandbox } from "../../../src/fleet/make/create.ts";
import { EgressPolicies } from "../../../src/fleet/make/egress.ts";
import { removeFolder } from "../../../src/lib/remove-folder.ts";
import { WORKSPACE } from "../../../src/model/guest-paths.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import type { NodeType } from "../../../src/model/node-type.ts";
import type { TrustedUpstream } from "../../../src/network/address/trusted-upstreams.ts";
import type { EgressProxy } from "../../../src/network/proxy/proxy.ts";
import type { Sandbox, SandboxSettings } from "../../../src/sandbox/sandbox.ts";
import { Guest } from "./guest.ts";
import { oweNothing } from "./owe-nothing.ts";
import { awaitEmpty, livingRemains, storedRemains } from "./scan.ts";
import type { DriverSubject } from "./subject.ts";

const CREATE_MS = 60_000;
const GONE_MS = 20_000;

export interface OpenOptions {
  readonly nodeType?: NodeType;
  readonly limits?: Partial<Limits>;
  /** Egress policy. Default: none. */
  readonly network?: string;
  readonly trusted?: readonly TrustedUpstream[];
  /** Laid over the spec that the driver gets. */
  readonly spec?: Partial<Pick<SandboxSpec, "workspace" | "adoption" | "mounts" | "workspacePath">>;
  readonly signal?: AbortSignal;
}

/** Data folder of a subject. Owners in processes of their own share it. */
export function makeConformanceHome(root = `/var/tmp/paddock-conformance-${process.getuid?.() ?? 0}`): Home {
  mkdirSync(root, { recursive: true, mode: 0o711 });
  return resolveHome({ PADDOCK_HOME: root }, process.getuid?.() ?? 0);
}

/**
 * Makes sandboxes of one driver as the fleet does: a listening channel, the driver, a real supervisor, a real egress
 * proxy.
 */
export class Bed implements AsyncDisposable {
  readonly driver: Driver;
  readonly home: Home;
  /** Every sandbox that was ever asked for here. */
  readonly ids: string[] = [];
  /** What the driver was asked for, by id. */
  readonly specs = new Map<string, SandboxSpec>();

  readonly #listRemains: DriverSubject["listRemains"];
  readonly #before: ReadonlySet<string>;

  private constructor(driver: Driver, home: Home, listRemains: DriverSubject["listRemains"]) {
    this.driver = driver;
    this.home = home;
    this.#listRemains = listRemains;
    this.#before = new Set(listRemains?.([]));
  }

  static async open(subject: Pick<DriverSubject, "open" | "homeRoot" | "listRemains">): Promise<Bed> {
    const home = makeConformanceHome(subject.homeRoot);
    const driver = await subject.open(home);
    await driver.start();
    return new Bed(driver, home, subject.listRemains);
  }

  /** What of these sandboxes is on the host, wherever it may be. */
  remains(ids: readonly string[]): readonly string[] {
    return [...livingRemains(ids), ...storedRemains(ids, this.home), ...this.#listAtEngine(ids)];
  }

  /** Without what was there before: an engine's leftovers do not all carry the id of their sandbox. */
  #listAtEngine(ids: readonly string[]): readonly string[] {
    return (this.#listRemains?.(ids) ?? []).filter((item) => !this.#before.has(item));
  }

  /** Waits for the sandboxes to be gone with everything; resolves with what is left. */
  async awaitGone(ids: readonly string[]): Promise<readonly string[]> {
    return await awaitEmpty(() => this.remains(ids), GONE_MS);
  }

  /** Removes the run folders of dead owners, as the fleet does at its start. */
  async forgetRuns(ids: readonly string[]): Promise<void> {
    for (const id of ids) await removeFolder(join(this.home.run, id));
  }

  async guest(options: OpenOptions = {}): Promise<Guest> {
    const proxy = await makeProxy(options);
    try {
      return new Guest(await this.#create(options, proxy), proxy);
    } catch (error) {
      await proxy[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #create(options: OpenOptions, proxy: EgressProxy): Promise<Sandbox> {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    return await createSandbox(
      { home: this.home, driver: this.#watched(options), owe: oweNothing },
      {
        limits,
        workspace: options.spec?.workspace ?? { kind: "new" },
        workspacePath: options.spec?.workspacePath ?? WORKSPACE,
        mounts: options.spec?.mounts ?? [],
        proxy,
        settings: (id) => makeBareSettings(id, limits, options.nodeType, options.spec?.workspacePath),
        signal: options.signal ?? AbortSignal.timeout(CREATE_MS),
      },
    );
  }

  /** The driver, with a look at what it is asked for. */
  #watched(options: OpenOptions): Driver {
    const { driver } = this;
    return {
      name: driver.name,
      capabilities: driver.capabilities,
      ...(driver.images === undefined ? {} : { images: driver.images }),
      volumes: driver.volumes,
      probe: (owe) => driver.probe(owe),
      start: () => driver.start(),
      reap: () => driver.reap(),
      create: async (spec, signal, owe) => {
        const asked = { ...spec, ...options.spec };
        this.ids.push(asked.id);
        this.specs.set(asked.id, asked);
        return await driver.create(asked, signal, owe);
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver[Symbol.asyncDispose]();
  }
}

/** A node without template: both interpreters, `file` warms neither. */
export function makeBareSettings(
  sandboxId: string,
  limits: Limits,
  nodeType: NodeType = "file",
  workspacePath = WORKSPACE,
): SandboxSettings {
  return makeSettings({
    sandboxId,
    nodeType,
    limits,
    template: undefined,
    workspacePath,
    env: {},
    registryEnv: {},
    hasCaBundle: false,
  });
}

async function makeProxy(options: OpenOptions): Promise<EgressProxy> {
  const policies = new EgressPolicies(options.trusted ?? [], {});
  return policies.makeProxy(await policies.compile(options.network ?? "none"));
}
