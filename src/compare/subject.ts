import { type App, createApp } from "../app.ts";
import { toPaddockError } from "../errors/error.ts";
import type { Lease } from "../fleet/fleet.ts";
import { DEFAULT_LIMITS } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { PlainContainer, PlainEngine } from "./plain.ts";
import type { Tier } from "./tier.ts";

/** What the guest says is shown to people: no longer than a release is. */
const MAX_RELEASE = 64;

export interface SubjectOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/** One tier at work: an app of its own and the sandboxes that its rows are measured on. */
export class Subject implements AsyncDisposable {
  readonly tier: Tier;
  readonly app: App;
  /** A bare file node that lives until `closeNodes`. */
  readonly file: Lease;
  /** Release of the kernel that answers the guest's system calls, as seen from inside. */
  readonly guestKernel: string;
  readonly #options: SubjectOptions;
  readonly #nodes: Lease[] = [];
  #plain: PlainContainer | undefined;

  private constructor(
    { tier, app, file, guestKernel }: Pick<Subject, "tier" | "app" | "file" | "guestKernel">,
    options: SubjectOptions,
  ) {
    this.tier = tier;
    this.app = app;
    this.file = file;
    this.guestKernel = guestKernel;
    this.#options = options;
  }

  /** Throws what makes the tier unavailable, and leaves nothing behind then. */
  static async open(tier: Tier, options: SubjectOptions): Promise<Subject> {
    const { PADDOCK_DRIVER: _driver, PADDOCK_RUNTIME: _runtime, ...env } = options.env;
    const app = await createApp({ env, config: { driver: tier.driver, runtime: tier.runtime } });
    try {
      const file = await lease(app, "file", true, options);
      return new Subject({ tier, app, file, guestKernel: await readGuestKernel(file) }, options);
    } catch (error) {
      await app[Symbol.asyncDispose]();
      throw toPaddockError(error);
    }
  }

  /** A new bare file node: what the life cycle is measured with. */
  async leaseBare(): Promise<Lease> {
    return await lease(this.app, "file", true, this.#options);
  }

  /** A node with its packages; builds template or image where there is none yet. */
  async leaseNode(nodeType: NodeType): Promise<Lease> {
    const node = await lease(this.app, nodeType, false, this.#options);
    this.#nodes.push(node);
    return node;
  }

  /** Closes what stays alive over many samples; the facts of `file` remain. */
  async closeNodes(): Promise<void> {
    await Promise.all([this.file, ...this.#nodes].map((node) => node.close()));
    await this.#plain?.remove();
    this.#plain = undefined;
  }

  /** A plain container of the sandbox's own image and runtime. Throws where there is no image or no engine. */
  async startPlain(engine: PlainEngine): Promise<PlainContainer> {
    const { image } = this.file.sandbox.host.isolation;
    if (image === undefined || this.tier.runtime === undefined) throw new Error("the sandbox has no image");
    this.#plain = await engine.start(image, this.tier.runtime);
    return this.#plain;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const results = await Promise.allSettled([this.#plain?.remove(), this.app[Symbol.asyncDispose]()]);
    const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    if (failed.length > 0) throw new AggregateError(failed, `${this.tier.name} could not be closed`);
  }
}

async function readGuestKernel({ sandbox }: Lease): Promise<string> {
  const { report, error, stdout } = await sandbox.runProcess({ argv: ["/usr/bin/uname", "-r"] });
  if (report?.exit_code !== 0) throw error ?? new Error("uname failed inside");
  return stdout.text.trim().slice(0, MAX_RELEASE);
}

async function lease(app: App, nodeType: NodeType, bare: boolean, options: SubjectOptions): Promise<Lease> {
  const { signal, onProgress } = options;
  return await app.fleet.lease({
    nodeType,
    limits: DEFAULT_LIMITS,
    network: "none",
    env: {},
    bare,
    signal,
    onProgress,
  });
}
