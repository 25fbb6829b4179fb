import { PaddockError, toPaddockError } from "../../errors/error.ts";
import type { Lease } from "../../fleet/leases/lease.ts";
import type { AgentRow, SetupReport } from "../../model/agent.ts";
import type { RecordedError } from "../../model/record.ts";
import { compilePolicy, parsePolicy } from "../../network/policy/policy.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { hideHostDetails } from "../core/errors-for-callers.ts";
import { retryWrite } from "../core/retry-write.ts";
import { runSetup } from "./setup.ts";
import { type Shape, sameShape } from "./shape.ts";

/** Where a sandbox sees its agent's workspace. */
export const AGENT_PATH = "/agent";

const NO_NETWORK = compilePolicy(parsePolicy("none"));

export interface OpenOptions {
  readonly signal: AbortSignal;
  /** Makes the sandbox through `attempt`, as often as there is no room. */
  readonly withRoom: (attempt: () => Promise<Lease>) => Promise<Lease>;
  readonly onPhase: (phase: "sandbox" | "setup", detail?: string) => void;
}

/** The sandbox of one agent over its volume: at most one at a time. Calls do not overlap; the agent sees to that. */
export class AgentSandbox {
  readonly #core: AgentServices;
  readonly #agent: AgentRow;
  readonly #onChange: () => void;
  #lease: Lease | undefined;
  #shape: Shape | undefined;
  /** Of the present sandbox. */
  setup: SetupReport | null = null;
  /** Why there is no sandbox, when the last one could not be made. */
  failure: PaddockError | undefined;
  /** Why the workspace is not what it should be. */
  lacks: Pick<RecordedError, "message"> | undefined;
  /** The agent has run before, and its workspace was gone: this one is new. */
  isReplaced = false;

  /** `onChange`: there is a sandbox now, or it has ended by itself. */
  constructor(core: AgentServices, agent: AgentRow, onChange: () => void) {
    this.#core = core;
    this.#agent = agent;
    this.#onChange = onChange;
    this.lacks = agent.missingCopy?.failure;
  }

  /** The living sandbox. */
  get lease(): Lease | undefined {
    return this.#lease?.sandbox.end === undefined ? this.#lease : undefined;
  }

  /**
   * The sandbox of this shape, with setup run in it: the present one, or a new one in its place, which ends every
   * process of the old.
   */
  async open(shape: Shape, options: OpenOptions): Promise<Lease> {
    const present = this.lease;
    if (present !== undefined && this.#shape !== undefined && sameShape(this.#shape, shape)) return present;
    await this.close();
    try {
      return await this.#renew(shape, options);
    } catch (error) {
      if (!options.signal.aborted) await this.fail(toPaddockError(error));
      throw error;
    }
  }

  /** The workspace itself lacks something: every task is told, and a setup that succeeds does not hide it. */
  async reportDefect(error: PaddockError): Promise<void> {
    this.lacks = hideHostDetails(error);
    await this.fail(error);
  }

  /** What could not be made is told where the setup's end is told. */
  async fail(error: PaddockError): Promise<void> {
    this.failure = error;
    if (error.row.httpStatus >= 500) this.#core.telemetry.problem("agents.open", error);
    const told = hideHostDetails(error);
    const stderr = `${told.code}: ${told.message}\n${told.hint}\n`;
    await this.#report({
      ...{ status: "failed", started_at: new Date().toISOString(), duration_ms: 0 },
      ...{ stdout: "", stderr },
    });
  }

  async #renew(shape: Shape, options: OpenOptions): Promise<Lease> {
    options.onPhase("sandbox");
    await this.#makeVolume(shape.limits.workspaceBytes);
    const lease = await options.withRoom(() => this.#make(shape, options));
    try {
      options.onPhase("setup");
      this.setup = await this.#runSetup(lease, options.signal);
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
    this.#lease = lease;
    this.#shape = shape;
    void lease.sandbox.ended.then(() => {
      if (this.#lease === lease) this.#onChange();
    });
    this.failure = undefined;
    if (this.setup !== null && this.lacks === undefined) await this.#report(this.setup);
    this.#onChange();
    return lease;
  }

  /** Under the agent's own policy, also in a sandbox that a task's needs have shaped: setup does the same each time. */
  async #runSetup(lease: Lease, signal: AbortSignal): Promise<SetupReport | null> {
    const { proxy } = lease;
    const { policy } = proxy;
    if (this.#agent.settings.network === undefined) proxy.setPolicy(NO_NETWORK);
    const { setupTimeoutMs } = this.#core.config.service;
    const report = await runSetup(lease, this.#agent, { timeoutMs: setupTimeoutMs, signal });
    proxy.setPolicy(policy);
    return report;
  }

  async #makeVolume(bytes: number): Promise<void> {
    const { fleet, telemetry } = this.#core;
    const { volumeId, name, runtimeMs } = this.#agent;
    const isLost = runtimeMs > 0 && !this.isReplaced && !(await fleet.volumes.list()).includes(volumeId);
    await fleet.volumes.make(volumeId, bytes);
    if (!isLost) return;
    this.isReplaced = true;
    const message = `the workspace ${volumeId} of agent ${name} was gone; it begins with an empty one`;
    telemetry.problem("agents.workspace", new PaddockError("not_found", message));
  }

  async #report(setup: SetupReport): Promise<void> {
    const { store } = this.#core;
    await retryWrite(this.#core, () => store.updateAgent(this.#agent.id, { setupReport: setup }));
  }

  /** Ends the sandbox with all that runs in it. What cannot be removed at once is removed by the fleet's sweep. */
  async close(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    this.#shape = undefined;
    this.setup = null;
    await lease?.[Symbol.asyncDispose]();
  }

  async #make(shape: Shape, { signal, onPhase }: OpenOptions): Promise<Lease> {
    return await this.#core.fleet.lease({
      nodeType: shape.nodeType,
      limits: shape.limits,
      network: shape.network,
      env: this.#agent.settings.env,
      bare: shape.bare,
      signal,
      onProgress: (message) => onPhase("sandbox", message),
      workspace: { kind: "volume", volumeId: this.#agent.volumeId, readOnly: false },
      workspacePath: AGENT_PATH,
    });
  }
}
