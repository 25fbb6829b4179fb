import { PaddockError } from "../../errors/error.ts";
import { noAgent } from "../../errors/not-found.ts";
import { compileLimits } from "../../executor/compile.ts";
import type { Lease } from "../../fleet/leases/lease.ts";
import { raceSignal } from "../../lib/deadline.ts";
import type { Slot } from "../../lib/fair-slots.ts";
import { SignalFlag } from "../../lib/signal-flag.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { ResponseRow } from "../../model/response.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { type SleepReason, SYSTEM, type WakeReason } from "../core/markers.ts";
import { ResponseRun } from "../run/response-run.ts";
import { AgentSandbox } from "../sandbox/agent-sandbox.ts";
import { baseShape } from "../sandbox/shape.ts";
import { waitForCapacity } from "../sandbox/wait-for-capacity.ts";
import type { AgentHandle } from "./agent-handle.ts";
import { CommandLoop } from "./command-loop.ts";
import { owesCopy } from "./parent-copy.ts";
import { SandboxProgress } from "./sandbox-progress.ts";
import { settle, wakeUp } from "./settle.ts";
import { cancelRow, putToSleep, type SleepOrder } from "./sleep.ts";
import { StateTimes } from "./state-times.ts";

export interface LiveAgentOptions {
  /** It has been made, remixed or woken: its sandbox is wanted. */
  readonly isAwake: boolean;
  /** `completeWorkspace` of this agent. */
  readonly complete: (interrupted?: AbortSignal) => Promise<boolean>;
  readonly evict: () => Promise<boolean>;
  /** Nothing is in progress any more. */
  readonly onRest: () => void;
}

/**
 * One agent in this process, which alone has its sandbox: works its queue off, one response after another. Everything
 * that makes or ends its sandbox goes through one command loop; commands go before the next response.
 */
export class LiveAgent implements AgentHandle {
  readonly core: AgentServices;
  readonly place: AgentSandbox;
  /** See there. */
  readonly complete: LiveAgentOptions["complete"];
  /** As last seen. */
  agent: AgentRow;
  isAwake: boolean;
  /** Its rows are gone, too. */
  isDissolved = false;
  /** A sandbox has to be made even when nothing waits. */
  wantsSandbox: boolean;
  #completesAsleep = false;
  /** The response that runs. */
  run: ResponseRun | undefined;
  /** When its timeouts have to be looked at, on the monotonic clock. */
  checkAt = 0;
  readonly times: StateTimes;
  /** When the present work began, on the monotonic clock; undefined while nothing is in progress. */
  workingSince: number | undefined;
  readonly #evict: () => Promise<boolean>;
  readonly #commands: CommandLoop;
  readonly #changed = new SignalFlag();
  #opening: AbortController | undefined;
  #news: SandboxProgress | undefined;
  /** Settles when `run` is known. */
  #claiming: Promise<unknown> | undefined;
  /** The last claim has failed: a response may be claimed that nobody runs. */
  #hasFailedToClaim = false;
  readonly #gone = new AbortController();

  constructor(core: AgentServices, agent: AgentRow, options: LiveAgentOptions) {
    this.core = core;
    this.agent = agent;
    this.times = new StateTimes(agent);
    this.isAwake = options.isAwake;
    this.wantsSandbox = options.isAwake;
    this.complete = options.complete;
    this.#evict = options.evict;
    this.place = new AgentSandbox(core, agent, () => this.#noticeChange());
    this.#commands = new CommandLoop(core, (interrupted) => this.#work(interrupted), options.onRest);
  }

  /** There may be work. */
  poke(): void {
    this.#news?.look();
    this.#commands.poke();
  }

  /** A remix whose copy was interrupted is completed although it sleeps: its parent may be gone when it wakes. */
  completeAsleep(): void {
    this.#completesAsleep = true;
    this.poke();
  }

  /** Nothing happens and nothing is planned: the object may be forgotten. */
  get isQuiet(): boolean {
    return !this.isAwake && !this.#commands.isBusy && (!this.isGone || this.isDissolved);
  }

  /** Awake with nothing to do: its sandbox may be taken from it. */
  get isIdle(): boolean {
    return this.isAwake && !this.#commands.isBusy && this.place.lease !== undefined;
  }

  get isWorking(): boolean {
    return this.#commands.isBusy;
  }

  /** Runs between two responses, in the order of the calls, when nothing else touches the sandbox. */
  async command<T>(command: () => Promise<T>): Promise<T> {
    return await this.#commands.command(command);
  }

  /**
   * Undefined when it was asleep, in none of `states`, or is gone. What runs and waits is cancelled first if the order
   * says so.
   */
  async sleep(order: SleepOrder): Promise<AgentRow | undefined> {
    const asleep = this.command(() => putToSleep(this, order));
    const [row] = await Promise.all([asleep, order.cancels ? this.#preempt(order.reason) : undefined]);
    return row;
  }

  /**
   * `post` queues the work that it wakes for, before its sandbox is made: so it is made as the work needs it. Throws
   * `not_found`, and what `post` throws.
   */
  async wake<T>(reason: WakeReason, by: string, post: (hasWoken: boolean) => Promise<T>): Promise<T> {
    return await this.command(async () => await post(await wakeUp(this, reason, by)));
  }

  /** The response that runs, also one that is just being claimed. */
  async current(): Promise<ResponseRun | undefined> {
    await this.#claiming?.catch(() => undefined);
    return this.run;
  }

  /** Its deletion has begun. */
  get isGone(): boolean {
    return this.gone.aborted;
  }

  /** Aborts when its deletion begins: nothing of it has to be kept then. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  beginDeletion(): void {
    this.#gone.abort();
    void this.interrupt(new PaddockError("cancelled", "the agent was deleted"));
    this.announce();
  }

  /** Ends what runs or is being made. Nothing begins any more once a command waits or it is gone: say that first. */
  async interrupt(error: PaddockError): Promise<void> {
    this.#opening?.abort(error);
    (await this.current())?.abort(error);
  }

  /** As `interrupt`; the row of the running response ends first, as cancelled. */
  async #preempt(reason: SleepReason): Promise<void> {
    const error = new PaddockError("cancelled", `the agent was interrupted: ${reason}`);
    this.#opening?.abort(error);
    const run = await this.current();
    if (run !== undefined) await cancelRow(this.core, run.row.id, reason).finally(() => run.abort(error));
  }

  /** Its sandbox, once there is one. Throws `agent_sleeping`, `not_found`, or the signal's reason. */
  async awaitLease(signal: AbortSignal): Promise<Lease> {
    for (;;) {
      const { next } = this.#changed;
      if (this.isGone) throw noAgent();
      if (!this.isAwake) throw new PaddockError("agent_sleeping", "Agent is sleeping");
      if (this.place.lease !== undefined) return this.place.lease;
      await raceSignal(next, signal);
    }
  }

  /** Somebody may wait for what has just changed. */
  announce(): void {
    this.#changed.raise();
  }

  /**
   * One piece of work; false when there was none. `interrupted` aborts when a command comes: it ends what can be begun
   * anew.
   */
  async #work(interrupted: AbortSignal): Promise<boolean> {
    const { core } = this;
    if (core.isDraining || this.isGone) return false;
    if (!this.isAwake && this.#completesAsleep) {
      await this.complete(interrupted);
      this.#completesAsleep = false;
      return true;
    }
    if (!this.isAwake && !(await this.#wakeForWork())) return false;
    if (interrupted.aborted) return true;
    if (owesCopy(this.agent)) {
      await this.complete();
      return true;
    }
    using slot = await core.slots.acquire(this.agent.createdBy, interrupted);
    if (core.isDraining || this.isGone) return false;
    if (interrupted.aborted) return true;
    const run = await this.#claim(slot);
    if (run !== undefined) return await this.#run(run);
    return interrupted.aborted || (await this.#rest(slot));
  }

  async #claim(slot: Slot): Promise<ResponseRun | undefined> {
    const { core, agent, place, gone } = this;
    const claim = async (): Promise<void> => {
      const row = await this.#claimRow();
      if (row !== undefined) this.run = new ResponseRun(row, { core, agent, place, slot, gone, evict: this.#evict });
    };
    this.#claiming = claim();
    try {
      await this.#claiming;
    } finally {
      this.#claiming = undefined;
    }
    return this.run;
  }

  async #claimRow(): Promise<ResponseRow | undefined> {
    const { store, nodeId, reign } = this.core;
    const isRepeat = this.#hasFailedToClaim;
    this.#hasFailedToClaim = true;
    const row = await store.claimResponse(this.agent.id, nodeId, reign, isRepeat);
    this.#hasFailedToClaim = false;
    return row;
  }

  async #run(run: ResponseRun): Promise<boolean> {
    const { core, agent, place } = this;
    this.workingSince = performance.now();
    this.checkWithin(agent.busyTimeoutSeconds);
    try {
      await run.run();
    } finally {
      this.run = undefined;
      this.workingSince = undefined;
    }
    // What was interrupted while its sandbox was made says nothing about the sandbox.
    this.wantsSandbox = run.isAborted && place.lease === undefined;
    const isIdle = await settle(this).finally(() => core.logs.close(run.row.id));
    return !isIdle || place.lease === undefined;
  }

  /** Nothing waits: it gets the sandbox that it wants, and sleeps when it has none. */
  async #rest(slot: Slot): Promise<boolean> {
    if (this.wantsSandbox) {
      this.wantsSandbox = false;
      if (!(await this.#open(slot))) return true;
    }
    const { failure, lease } = this.place;
    if (lease !== undefined) {
      await settle(this);
      return false;
    }
    const reason = failure === undefined ? "lost" : "failed";
    const order = { reason, by: SYSTEM, delaySeconds: 0, note: failure?.message, cancels: false } as const;
    return (await putToSleep(this, order)) === undefined;
  }

  /** False when it was interrupted. */
  async #open(slot: Slot): Promise<boolean> {
    const { core, agent, place } = this;
    const shape = baseShape(agent, compileLimits(agent.settings.limits));
    await using news = new SandboxProgress(core, agent.id);
    this.#news = news;
    return await this.attempt(async (signal) => {
      const withRoom = (attempt: () => Promise<Lease>): Promise<Lease> =>
        waitForCapacity({ core, slot, signal, evict: this.#evict }, attempt);
      await place.open(shape, { signal, withRoom, onPhase: (phase, detail) => news.add(phase, detail) });
    }).finally(() => {
      this.#news = undefined;
    });
  }

  /**
   * Something that preempting ends, and `interrupted` if it is given. Whoever fails in it has told so. False when it
   * was ended.
   */
  async attempt(work: (signal: AbortSignal) => Promise<void>, interrupted?: AbortSignal): Promise<boolean> {
    const controller = new AbortController();
    const signal = interrupted === undefined ? controller.signal : AbortSignal.any([controller.signal, interrupted]);
    this.#opening = controller;
    try {
      await work(signal);
    } catch {
      return !signal.aborted;
    } finally {
      this.#opening = undefined;
    }
    return true;
  }

  async #wakeForWork(): Promise<boolean> {
    const waiting = await this.core.store.countResponses(this.agent.id, "pending");
    return waiting > 0 && !this.isGone && (await wakeUp(this, "implicit_wake", SYSTEM));
  }

  refresh(agent: AgentRow | undefined): void {
    if (agent === undefined || agent.version < this.agent.version) return;
    this.agent = agent;
    this.times.see(agent);
  }

  /** Its timeouts are looked at when so many seconds are over, or before. */
  checkWithin(seconds: number): void {
    const now = performance.now();
    this.checkAt = Math.min(Math.max(this.checkAt, now), now + seconds * 1000);
  }

  /** A sandbox that ends while its agent is idle takes the agent to sleep; while it works, the work tells. */
  #noticeChange(): void {
    this.announce();
    if (this.place.lease !== undefined) return;
    void this.command(async () => {
      if (this.place.lease !== undefined || !this.isAwake) return;
      const order = { reason: "lost", by: SYSTEM, delaySeconds: 0, cancels: false, states: ["idle"] } as const;
      await putToSleep(this, order);
    }).catch((error: unknown) => this.core.telemetry.problem("agents.lost", error));
  }
}
