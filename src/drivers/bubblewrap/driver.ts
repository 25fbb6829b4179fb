import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { isTimeout } from "../../lib/deadline.ts";
import { type Owe, removeOrOwe } from "../../lib/owe.ts";
import type {
  Driver,
  DriverCapabilities,
  DriverSandbox,
  ProbeFinding,
  ReapReport,
  SandboxSpec,
  Volumes,
} from "../driver.ts";
import { UsageReader } from "../host/cgroup-usage.ts";
import { reapWith } from "../host/configure.ts";
import { keepCopies } from "../host/install.ts";
import type { LaunchPlan } from "../host/launch.ts";
import { findLeft, LauncherProcess } from "../host/launcher-process.ts";
import { tryWholeSandbox } from "../host/trial.ts";
import { HostVolumes, whileInUse } from "../host/volumes.ts";
import { type ResolvedWorkspace, resolveWorkspace } from "../host/workspace.ts";
import type { BubblewrapOptions } from "./options.ts";
import { describeIsolation, makeLaunchPlan } from "./plan.ts";
import { BubblewrapSandbox } from "./sandbox.ts";
import { configureBubblewrap, type Inspection, inspectHost, type Setup } from "./setup.ts";

function makeAbortError(id: string, reason: unknown): PaddockError {
  const code = isTimeout(reason) ? "timeout" : "cancelled";
  return new PaddockError(code, `sandbox ${id} was not made: its caller left`, { cause: reason });
}

interface Running {
  readonly setup: Setup;
  readonly launcher: LauncherProcess;
}

/** Sandboxes by bubblewrap, cgroups, seccomp and, as root, a uid and a disk image of their own. */
export class BubblewrapDriver implements Driver {
  readonly name = "bubblewrap";
  readonly capabilities: DriverCapabilities = { pause: false, survivesOwner: false, memorySnapshot: false };
  readonly #options: BubblewrapOptions;
  readonly #live = new Map<string, BubblewrapSandbox>();
  #inspection: Promise<Inspection> | undefined;
  #running: Promise<Running> | undefined;
  #volumes: HostVolumes | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: BubblewrapOptions) {
    this.#options = options;
  }

  async probe(owe: Owe): Promise<readonly ProbeFinding[]> {
    const { findings, ready } = await this.#inspect();
    return ready === undefined ? findings : [...findings, await tryWholeSandbox(this, this.#options.home, owe)];
  }

  async start(): Promise<void> {
    await this.#run();
  }

  /** Undefined before `start`. */
  get volumes(): Volumes | undefined {
    return this.#volumes;
  }

  async create(spec: SandboxSpec, signal: AbortSignal, owe: Owe): Promise<DriverSandbox> {
    if (this.#live.has(spec.id)) throw new PaddockError("create_failed", `sandbox ${spec.id} exists already`);
    const { setup, launcher } = await this.#run();
    const workspace = await resolveWorkspace(spec, setup.storage);
    const plan = makeLaunchPlan(spec, setup, workspace, this.#options.command);
    if (signal.aborted) throw makeAbortError(spec.id, signal.reason);
    const sandbox = this.#makeSandbox(spec, setup, workspace);
    this.#live.set(spec.id, sandbox);
    try {
      sandbox.started(await this.#launch(launcher, plan, signal, owe));
    } catch (error) {
      if (this.#live.get(spec.id) === sandbox) this.#live.delete(spec.id);
      throw signal.aborted ? makeAbortError(spec.id, signal.reason) : toPaddockError(error);
    }
    if (!signal.aborted) return sandbox;
    await removeOrOwe(owe, spec.id, () => sandbox.destroy()).catch(() => undefined);
    throw makeAbortError(spec.id, signal.reason);
  }

  /**
   * Pid of its first process. A caller that leaves is not waited for: what is being made is removed at once, or owed.
   */
  async #launch(launcher: LauncherProcess, plan: LaunchPlan, signal: AbortSignal, owe: Owe): Promise<number> {
    const remove = (): Promise<void> => this.#remove(plan.id, false);
    const { promise: abandoned, reject } = Promise.withResolvers<never>();
    let left: unknown;
    const abandon = (): void =>
      void remove().catch((error: unknown) => {
        left = error;
        reject(error);
      });
    signal.addEventListener("abort", abandon, { once: true });
    try {
      const made = whileInUse(() => launcher.request("create", { plan }), signal);
      return Number((await Promise.race([made, abandoned]))["pid"]);
    } catch (error) {
      left ??= findLeft(error);
      if (left !== undefined) owe(plan.id, remove, left);
      throw error;
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  async reap(): Promise<ReapReport> {
    const { launcher } = await this.#run();
    await keepCopies(this.#options.home.bin);
    return reapWith(launcher);
  }

  /** Ends and removes every sandbox that is still there, then ends the launcher. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    const running = await this.#running?.catch(() => undefined);
    await running?.launcher.close();
    for (const sandbox of this.#live.values()) sandbox.finish("its driver was closed");
    this.#live.clear();
  }

  #makeSandbox(spec: SandboxSpec, setup: Setup, workspace: ResolvedWorkspace): BubblewrapSandbox {
    return new BubblewrapSandbox(
      spec.id,
      describeIsolation(spec, setup, workspace),
      new UsageReader(setup.layout, spec.id),
      { kill: (id) => this.#kill(id), remove: (id, keepWorkspace) => this.#remove(id, keepWorkspace) },
    );
  }

  /** Whatever hinders a kill also ends the sandbox: a launcher that is gone has taken it along. */
  #kill(id: string): void {
    this.#run().then(
      ({ launcher }) => launcher.send({ op: "kill", id }),
      () => undefined,
    );
  }

  async #remove(id: string, keepWorkspace: boolean): Promise<void> {
    if (this.#closed !== undefined) return this.#closed;
    const { launcher } = await this.#run();
    try {
      await launcher.request("remove", { id, keepWorkspace });
    } catch (error) {
      if (!launcher.isGone) throw error;
      // Its successor removes what it left.
      await launcher.exited;
      await this.#run();
    }
    this.#live.delete(id);
  }

  async #run(): Promise<Running> {
    if (this.#closed !== undefined) throw new PaddockError("sandbox_closed", "the bubblewrap driver has been closed");
    this.#running ??= this.#start();
    return this.#running;
  }

  #inspect(): Promise<Inspection> {
    this.#inspection ??= this.#inspectOnce();
    return this.#inspection;
  }

  async #inspectOnce(): Promise<Inspection> {
    const inspection = await inspectHost(this.#options, (id, detail) => this.#finish(id, detail));
    if (inspection.ready === undefined) this.#inspection = undefined;
    else this.#use(inspection.ready);
    return inspection;
  }

  #use(running: Running): void {
    this.#running = Promise.resolve(this.#watch(running));
    this.#volumes = new HostVolumes(running.setup.storage, async (op, body) =>
      (await this.#run()).launcher.request(op, body),
    );
  }

  async #start(): Promise<Running> {
    const { findings, ready } = await this.#inspect();
    if (ready !== undefined) return ready;
    this.#running = undefined;
    const failed = findings.find(({ status }) => status === "failed");
    throw new PaddockError("driver_unavailable", `bubblewrap: ${failed?.name}: ${failed?.detail}`, {
      ...(failed?.hint === undefined ? {} : { hint: failed.hint }),
      context: { findings },
    });
  }

  #watch(running: Running): Running {
    void running.launcher.exited.then((detail) => this.#recover(running.setup, detail));
    return running;
  }

  #finish(id: string, detail: string): void {
    this.#live.get(id)?.finish(detail);
  }

  /** A launcher that died took its sandboxes with it. Another one removes what they left before anybody is told. */
  async #recover(setup: Setup, detail: string): Promise<void> {
    if (this.#closed !== undefined) return;
    const lost = [...this.#live.values()];
    this.#live.clear();
    this.#running = this.#restart(setup);
    await this.#running.catch(() => undefined);
    for (const sandbox of lost) sandbox.finish(`the launcher died: ${detail}`);
  }

  async #restart(setup: Setup): Promise<Running> {
    const launcher = LauncherProcess.start(setup.python, setup.launcherFolder, (id, text) => this.#finish(id, text));
    await configureBubblewrap(launcher, setup);
    await reapWith(launcher);
    return this.#watch({ setup, launcher });
  }
}
