import { readdir } from "node:fs/promises";
import { PaddockError } from "../../errors/error.ts";
import { PYTHON } from "../../model/guest-paths.ts";
import { isSandboxId, type SandboxId } from "../../model/ids.ts";
import type { ProbeFinding, ReapReport, Volumes } from "../driver.ts";
import { chooseRetention, configureLauncher, reapWith } from "./configure.ts";
import type {
  AdoptedHold,
  Held,
  HeldFacts,
  HolderOptions,
  HoldRequest,
  RemoveOptions,
  WorkspaceStorage,
} from "./holder-types.ts";
import { installProgram, keepCopies, prepareHome, sweepOldCopies } from "./install.ts";
import { LauncherProcess, type Reply } from "./launcher-process.ts";
import { chooseStorage, type HostStorage } from "./storage.ts";
import { LAUNCHER_SOURCE } from "./tools.ts";
import { HostVolumes, whileInUse } from "./volumes.ts";
import { resolveWorkspace } from "./workspace.ts";

export type * from "./holder-types.ts";

const MAX_PAYLOAD_BYTES = 256 * 1024;

/**
 * The host's side of sandboxes that a container engine makes: owner record and lock, uid, workspace, removal, reaping
 * and adoption. One launcher process per holder; our death removes every sandbox that is held without `adoption`.
 */
export class Holder implements AsyncDisposable {
  /** What was found on the way; none of them has failed. */
  readonly findings: readonly ProbeFinding[];
  readonly #options: HolderOptions;
  readonly #storage: HostStorage;
  /** Sandboxes that the next owner could adopt: after a launcher's death we are that owner. */
  readonly #adoptable = new Set<SandboxId>();
  #launcher: Promise<LauncherProcess>;
  #closed: Promise<void> | undefined;

  private constructor(
    options: HolderOptions,
    storage: HostStorage,
    findings: readonly ProbeFinding[],
    launcher: LauncherProcess,
  ) {
    this.#options = options;
    this.#storage = storage;
    this.findings = findings;
    this.#launcher = Promise.resolve(launcher);
    this.#watch(launcher);
  }

  /**
   * Prepares the data folder and starts the launcher. Throws what a missing Python or a data folder that is not ours to
   * write throws.
   */
  static async open(options: HolderOptions): Promise<Holder> {
    await prepareHome(options.home);
    const launcher = await startLauncher(options);
    try {
      const { finding, storage } = await chooseStorage(options.home, launcher);
      await configure(launcher, options);
      await sweepOldCopies(options.home.bin);
      return new Holder(options, storage, [finding], launcher);
    } catch (error) {
      await launcher.close();
      throw error;
    }
  }

  /**
   * Writes the record under its lock, then takes uid and workspace and gives them the socket. The order of a create is
   * `hold`, engine create and start, `started`. Throws `create_failed`, `no_space`, `capacity`, `unsupported`,
   * `not_found`, and leaves nothing then. An abandoned create ends with `remove`.
   */
  async hold(request: HoldRequest): Promise<Held> {
    const { id, limits, workspace: source, storage, socketDir: runDir, container, adoption } = request;
    checkPayload(request);
    const kind = storage === "loop" ? this.#storage.kind : "folder";
    const wanted = source.kind === "new" && storage === "memory" ? ({ kind: "memory" } as const) : source;
    const resolved = await resolveWorkspace({ id, limits, workspace: wanted }, { ...this.#storage, kind });
    const { plan: workspace, identity, hasOwnUid } = resolved;
    if (storage === "memory" && workspace.source !== null) {
      throw new PaddockError("unsupported", `the engine does not see the workspace folders of this machine`);
    }
    if (storage !== "loop" && workspace.image !== null) {
      throw new PaddockError("unsupported", `the engine cannot mount the workspace image of this machine`);
    }
    const plan = { id, identity, hasOwnUid, workspace, runDir, container, adoption };
    return readHeld(await whileInUse(() => this.#request("hold", { plan })));
  }

  /**
   * The container runs. The launcher lets go of the loop device, which from now on lives as long as its mount, and puts
   * the facts into the record. A pid that the kernel does not place in the container's cgroup is left out. Throws
   * `isolation_failed` for facts that cannot be this container's, `sandbox_closed` when it was removed meanwhile.
   */
  async started(id: SandboxId, facts: HeldFacts): Promise<void> {
    const reply = await this.#request("started", { id, facts });
    if (reply["adoptable"] === true) this.#adoptable.add(id);
  }

  /**
   * Waits until the container's processes and its loop device are gone, then removes workspace, uid and record; the
   * socket's folder stays its listener's. Idempotent. Throws `engine_unavailable` (only with `containerRemoved: false`;
   * everything that ran has been killed) or `internal`; the record then stays, and a later call or a reaper tries
   * again.
   */
  async remove(id: SandboxId, options: RemoveOptions): Promise<void> {
    if (this.#closed !== undefined) return this.#closed;
    const { keepWorkspace, containerRemoved } = options;
    this.#adoptable.delete(id);
    await this.#insist((launcher) => launcher.request("release", { id, keepWorkspace, containerRemoved }));
  }

  /**
   * Takes a dead owner's lock and with it the sandbox. The driver then compares container id, labels, generation and
   * start time with the engine, and calls `remove` where they disagree. Throws `not_found`, or `adoption_refused` where
   * an owner lives or the container cannot be adopted.
   */
  async adopt(id: SandboxId): Promise<AdoptedHold> {
    const reply = await this.#request("adopt", { id });
    this.#adoptable.add(id);
    return { ...(reply as unknown as AdoptedHold), held: readHeld(reply["held"] as Reply) };
  }

  /**
   * Removes what dead owners of any driver left in this data folder. Adoptable containers that run go when their grace
   * is over.
   */
  async reap(): Promise<ReapReport> {
    await keepCopies(this.#options.home.bin);
    return this.#insist(reapWith);
  }

  /** Volumes that an engine with this storage can use. */
  volumes(storage: Exclude<WorkspaceStorage, "memory">): Volumes {
    const kind = storage === "loop" ? this.#storage.kind : "folder";
    return new HostVolumes({ ...this.#storage, kind }, (op, body) => this.#request(op, body));
  }

  /** Ids that have an owner record now, its owner living or dead. A container of ours without one may be removed. */
  async listOwners(): Promise<ReadonlySet<SandboxId>> {
    return new Set((await readdir(this.#options.home.owners)).filter((name) => isSandboxId(name)));
  }

  /** Ends the launcher. Held sandboxes without `adoption` are removed, the others wait for their next owner. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#launcher.then((launcher) => launcher.close()).catch(() => undefined);
    await this.#closed;
  }

  async #request(op: string, body: Readonly<Record<string, unknown>>): Promise<Reply> {
    return (await this.#open()).request(op, body);
  }

  /** For requests that may be made twice: a launcher that dies meanwhile has a successor. */
  async #insist<T>(ask: (launcher: LauncherProcess) => Promise<T>): Promise<T> {
    const launcher = await this.#open();
    try {
      return await ask(launcher);
    } catch (error) {
      if (!launcher.isGone) throw error;
      await launcher.exited;
      return ask(await this.#open());
    }
  }

  async #open(): Promise<LauncherProcess> {
    if (this.#closed !== undefined) throw new PaddockError("sandbox_closed", "the driver has been closed");
    return this.#launcher;
  }

  #watch(launcher: LauncherProcess): void {
    void launcher.exited.then(() => {
      if (this.#closed !== undefined) return;
      this.#launcher = this.#restart();
      this.#launcher.catch(() => undefined);
    });
  }

  /**
   * A launcher that died gave its locks back: what may be adopted is adopted, the rest is removed as a dead owner's.
   */
  async #restart(): Promise<LauncherProcess> {
    const launcher = await startLauncher(this.#options);
    await configure(launcher, this.#options);
    for (const id of this.#adoptable) {
      await launcher.request("adopt", { id }).catch(() => this.#adoptable.delete(id));
    }
    await reapWith(launcher);
    this.#watch(launcher);
    return launcher;
  }
}

async function startLauncher({ home, python = PYTHON }: HolderOptions): Promise<LauncherProcess> {
  const folder = await installProgram(home.bin, "launcher", LAUNCHER_SOURCE, python);
  return LauncherProcess.start(python, folder, () => undefined);
}

async function configure(launcher: LauncherProcess, options: HolderOptions): Promise<void> {
  const { driver, home } = options;
  await configureLauncher(launcher, { driver, home, retention: chooseRetention(options) });
}

function checkPayload({ id, adoption }: HoldRequest): void {
  const bytes = Buffer.byteLength(JSON.stringify(adoption) ?? "");
  if (bytes <= MAX_PAYLOAD_BYTES) return;
  throw new PaddockError("create_failed", `what sandbox ${id} leaves for its next owner has ${bytes} bytes`);
}

/** The launcher is part of the host and its answers are believed; the frame around them is left out. */
function readHeld(reply: Reply): Held {
  const { uid, gid, distinctUid, generation, workspace } = reply as unknown as Held;
  return { uid, gid, distinctUid, generation, workspace };
}
