import { PaddockError } from "../../errors/error.ts";
import type { Owe } from "../../lib/owe.ts";
import type { SandboxId } from "../../model/ids.ts";
import type {
  AdoptedSandbox,
  Driver,
  DriverCapabilities,
  DriverSandbox,
  ImageEngine,
  ProbeFinding,
  ReapReport,
  SandboxSpec,
  Volumes,
} from "../driver.ts";
import { adoptSandbox } from "./adopt.ts";
import { assertUsable, checkSetup, explainOpening } from "./checks.ts";
import { makeSandbox } from "./create.ts";
import { Engine } from "./engine/engine.ts";
import { DockerImages } from "./images.ts";
import type { DockerSandbox } from "./sandbox.ts";
import { type DockerOptions, openSetup, type Setup } from "./setup.ts";
import { sweepByLabel } from "./sweep.ts";

const STRAY_GRACE_MS = 10_000;

/** Sandboxes as containers of Docker or Podman, under whatever runtime the engine offers (runc, gVisor's runsc). */
export class DockerDriver implements Driver {
  readonly name = "docker";
  readonly images: ImageEngine;
  readonly #options: DockerOptions;
  readonly #live = new Map<string, DockerSandbox>();
  readonly #creating = new Set<string>();
  #engine: Promise<Engine> | undefined;
  #opening: Promise<Setup> | undefined;
  #setup: Setup | undefined;
  #volumes: Volumes | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: DockerOptions) {
    this.#options = options;
    this.images = new DockerImages(() => this.#openEngine());
  }

  /** Known for sure after `start`: over standard streams the channel ends with its owner. */
  get capabilities(): DriverCapabilities {
    return { pause: true, survivesOwner: this.#setup?.usesSocket ?? true, memorySnapshot: false };
  }

  /** Undefined before `start`, and where the engine does not see this machine's files. */
  get volumes(): Volumes | undefined {
    return this.#volumes;
  }

  async probe(owe: Owe): Promise<readonly ProbeFinding[]> {
    try {
      return await checkSetup(this, await this.#run(), owe);
    } catch (error) {
      return explainOpening(error);
    }
  }

  async start(): Promise<void> {
    await this.#run();
  }

  async create(spec: SandboxSpec, signal: AbortSignal, owe: Owe): Promise<DriverSandbox> {
    if (this.#live.has(spec.id) || this.#creating.has(spec.id)) {
      throw new PaddockError("create_failed", `sandbox ${spec.id} exists already`);
    }
    this.#creating.add(spec.id);
    try {
      const setup = await this.#run();
      if (spec.adoption !== undefined && !setup.usesSocket) {
        throw new PaddockError("unsupported", "a sandbox whose channel goes over standard streams ends with its owner");
      }
      return this.#keep(spec.id, await makeSandbox(setup, spec, signal, owe));
    } finally {
      this.#creating.delete(spec.id);
    }
  }

  async adopt(id: SandboxId, signal: AbortSignal, owe: Owe): Promise<AdoptedSandbox> {
    const setup = await this.#run();
    signal.throwIfAborted();
    const adopted = await adoptSandbox(setup, id, owe);
    this.#keep(id, adopted.host);
    return adopted;
  }

  async reap(): Promise<ReapReport> {
    const setup = await this.#run();
    const dead = await setup.holder.reap();
    const swept = await sweepByLabel({ ...setup, graceMs: this.#options.strayGraceMs ?? STRAY_GRACE_MS });
    return { reaped: [...new Set([...dead.reaped, ...swept.reaped])], failed: [...dead.failed, ...swept.failed] };
  }

  /** Ends and removes every sandbox that nobody may adopt, then ends the launcher. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    const setup = await this.#opening?.catch(() => undefined);
    await setup?.holder[Symbol.asyncDispose]();
    for (const sandbox of this.#live.values()) sandbox.finish("its driver was closed");
    this.#live.clear();
  }

  #keep(id: string, sandbox: DockerSandbox): DockerSandbox {
    this.#live.set(id, sandbox);
    void sandbox.ended.then(() => this.#live.delete(id));
    return sandbox;
  }

  #openEngine(): Promise<Engine> {
    this.#engine ??= Engine.open(this.#options.env);
    this.#engine.catch(() => {
      this.#engine = undefined;
    });
    return this.#engine;
  }

  async #run(): Promise<Setup> {
    if (this.#closed !== undefined) throw new PaddockError("sandbox_closed", "the docker driver has been closed");
    this.#opening ??= this.#open();
    this.#opening.catch(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<Setup> {
    const setup = await openSetup(this.#options, await this.#openEngine());
    try {
      await assertUsable(setup);
    } catch (error) {
      await setup.holder[Symbol.asyncDispose]();
      throw error;
    }
    this.#setup = setup;
    this.#volumes = setup.storage === "memory" ? undefined : setup.holder.volumes(setup.storage);
    return setup;
  }
}
