import { PaddockError, toPaddockError } from "../errors/error.ts";
import { compileLimits } from "../executor/compile.ts";
import type { Lease } from "../fleet/lease.ts";
import { raceSignal } from "../lib/deadline.ts";
import type { AgentRow } from "../model/agent.ts";
import type { Slot } from "./fair-slots.ts";
import { Mailbox } from "./mailbox.ts";
import { makeWoke, type SleepReason, SYSTEM, type WakeReason, writeMarker } from "./markers.ts";
import { type Core, recordChange } from "./parts.ts";
import { persist } from "./persist.ts";
import { ResponseRun } from "./response-run.ts";
import { findRoom } from "./room.ts";
import { SignalFlag } from "./signal-flag.ts";
import { cancelRow, putToSleep, type SleepOrder } from "./sleeping.ts";
import { baseShape, Workplace } from "./workplace.ts";

export interface LiveAgentOptions {
  /** It has been made, remixed or woken: its sandbox is wanted. */
  readonly isAwake: boolean;
  /** Fills a new workspace before anything else happens in it. */
  readonly prepare?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly evict: () => Promise<boolean>;
  /** Nothing is in progress any more. */
  readonly onRest: () => void;
}

/**
 * One agent in this process, which alone has its sandbox: works its queue off, one response after another. Everything that makes or ends its sandbox
 * goes through one mailbox; commands go before the next response.
 */
export class LiveAgent {
  readonly core: Core;
  readonly place: Workplace;
  /** As last seen. */
  agent: AgentRow;
  isAwake: boolean;
  /** Its deletion has begun. */
  isGone = false;
  /** The response that runs. */
  run: ResponseRun | undefined;
  /** When its timeouts have to be looked at, in milliseconds since 1970. */
  checkAt = 0;
  /** When the present work began; undefined while nothing is in progress. */
  workingSince: number | undefined;
  readonly #evict: () => Promise<boolean>;
  readonly #mailbox: Mailbox;
  readonly #changed = new SignalFlag();
  #prepare: LiveAgentOptions["prepare"];
  #wantsSandbox: boolean;
  #opening: AbortController | undefined;
  #failure: PaddockError | undefined;

  constructor(core: Core, agent: AgentRow, options: LiveAgentOptions) {
    this.core = core;
    this.agent = agent;
    this.isAwake = options.isAwake;
    this.#wantsSandbox = options.isAwake;
    this.#prepare = options.prepare;
    this.#evict = options.evict;
    this.place = new Workplace(core, agent, () => this.#noticeChange());
    this.#mailbox = new Mailbox(core, (interrupted) => this.#work(interrupted), options.onRest);
  }

  /** There may be work. */
  poke(): void {
    this.#mailbox.poke();
  }

  /** Nothing happens and nothing is planned: the object may be forgotten. */
  get isQuiet(): boolean {
    return !this.isAwake && !this.#mailbox.isBusy;
  }

  /** Awake with nothing to do: its sandbox may be taken from it. */
  get isIdle(): boolean {
    return this.isAwake && !this.#mailbox.isBusy && this.place.lease !== undefined;
  }

  get isWorking(): boolean {
    return this.#mailbox.isBusy;
  }

  /** Runs between two responses, in the order of the calls, when nothing else touches the sandbox. */
  async command<T>(command: () => Promise<T>): Promise<T> {
    return await this.#mailbox.command(command);
  }

  /** Undefined when it was asleep, in none of `states`, or is gone. What runs and waits is cancelled first if the order says so. */
  async sleep(order: SleepOrder): Promise<AgentRow | undefined> {
    if (order.cancels) await this.preempt(order.reason);
    return await this.command(() => putToSleep(this, order));
  }

  /** `post` queues the work that it wakes for, before its sandbox is made: so it is made as the work needs it. Throws `not_found`, and what `post` throws. */
  async wake<T>(reason: WakeReason, by: string, post: (hasWoken: boolean) => Promise<T>): Promise<T> {
    return await this.command(async () => await post(await this.#wake(reason, by)));
  }

  /** Ends the row of the running response as cancelled, then what runs or is being made. */
  async preempt(reason: "user_cancel" | SleepReason): Promise<void> {
    const error = new PaddockError("cancelled", `the agent was interrupted: ${reason}`);
    if (this.run !== undefined) await cancelRow(this.core, this.run.row.id, reason);
    this.interrupt(error);
  }

  interrupt(error: PaddockError): void {
    this.run?.abort(error);
    this.#opening?.abort(error);
  }

  /** Its sandbox, once there is one. Throws `agent_sleeping`, `not_found`, or the signal's reason. */
  async awaitLease(signal: AbortSignal): Promise<Lease> {
    for (;;) {
      const { next } = this.#changed;
      if (this.isGone) throw new PaddockError("not_found", "Agent not found");
      if (!this.isAwake) throw new PaddockError("agent_sleeping", "Agent is sleeping");
      if (this.place.lease !== undefined) return this.place.lease;
      await raceSignal(next, signal);
    }
  }

  /** Somebody may wait for what has just changed. */
  announce(): void {
    this.#changed.raise();
  }

  /** One piece of work; false when there was none. `interrupted` aborts when a command comes: it ends what can be begun anew. */
  async #work(interrupted: AbortSignal): Promise<boolean> {
    const { core } = this;
    if (core.isDraining || this.isGone) return false;
    if (!this.isAwake && !(await this.#wakeForWork())) return false;
    if (this.#prepare !== undefined) return await this.#fill();
    using slot = await core.slots.acquire(this.agent.createdBy, interrupted);
    if (core.isDraining) return false;
    const row = await core.store.claimResponse(this.agent.id, core.nodeId, core.reign);
    if (row === undefined) return await this.#rest(slot);
    const { agent, place } = this;
    this.run = new ResponseRun(row, { core, agent, place, slot, evict: this.#evict });
    this.workingSince = Date.now();
    this.#scheduleCheck(this.agent.busyTimeoutSeconds);
    this.#wantsSandbox = false;
    try {
      await this.run.run();
    } finally {
      this.run = undefined;
      this.workingSince = undefined;
    }
    const isIdle = await this.#settle().finally(() => core.logs.close(row.id));
    return !isIdle || place.lease === undefined;
  }

  /** Nothing waits: it gets the sandbox that it wants, and sleeps when it has none. */
  async #rest(slot: Slot): Promise<boolean> {
    if (this.#wantsSandbox) {
      this.#wantsSandbox = false;
      if (!(await this.#open(slot))) return true;
    }
    if (this.place.lease === undefined) {
      const reason = this.#failure === undefined ? "lost" : "failed";
      const order = { reason, by: SYSTEM, delaySeconds: 0, note: this.#failure?.message } as const;
      this.#failure = undefined;
      await this.#settle();
      return (await putToSleep(this, { ...order, cancels: false, states: ["init", "idle"] })) === undefined;
    }
    await this.#settle();
    return false;
  }

  /** False when it was interrupted. */
  async #open(slot: Slot): Promise<boolean> {
    const { core, agent } = this;
    this.#opening = new AbortController();
    const { signal } = this.#opening;
    try {
      await this.place.open(baseShape(agent, compileLimits(agent.settings.limits)), {
        signal,
        withRoom: (attempt) => findRoom({ core, slot, signal, evict: this.#evict }, attempt),
        onPhase: () => undefined,
      });
    } catch (thrown) {
      if (signal.aborted) return false;
      await this.#reportFailure(toPaddockError(thrown));
    } finally {
      this.#opening = undefined;
    }
    return true;
  }

  async #fill(): Promise<boolean> {
    const prepare = this.#prepare;
    this.#opening = new AbortController();
    const { signal } = this.#opening;
    try {
      await prepare?.(signal);
    } catch (thrown) {
      if (!signal.aborted) await this.#reportFailure(toPaddockError(thrown));
    } finally {
      this.#opening = undefined;
      this.#prepare = undefined;
    }
    return true;
  }

  /** What could not be made is told where setup's end is told. */
  async #reportFailure(error: PaddockError): Promise<void> {
    this.#failure = error;
    this.core.telemetry.problem("agents.open", error);
    const started_at = new Date().toISOString();
    const stderr = `${error.code}: ${error.message}\n${error.hint}\n`;
    await this.place.report({ status: "failed", started_at, duration_ms: 0, stdout: "", stderr });
  }

  /** Idle when nothing waits any more. */
  async #settle(): Promise<boolean> {
    const { core, agent } = this;
    const now = Date.now();
    const settled = await persist(core, () => core.store.settleAgent(agent.id, now));
    const made =
      settled?.state === "init"
        ? await persist(core, () =>
            core.store.updateAgent(agent.id, { state: "idle", idleFrom: now }, { states: ["init"] }),
          )
        : undefined;
    this.see(made ?? settled);
    this.#scheduleCheck(this.agent.idleTimeoutSeconds);
    return this.agent.state === "idle";
  }

  see(agent: AgentRow | undefined): void {
    if (agent !== undefined && agent.version >= this.agent.version) this.agent = agent;
  }

  #scheduleCheck(seconds: number): void {
    this.checkAt = Math.min(Math.max(this.checkAt, Date.now()), Date.now() + seconds * 1000);
  }

  async #wakeForWork(): Promise<boolean> {
    const waiting = await this.core.store.countResponses(this.agent.id, "pending");
    return waiting > 0 && !this.isGone && (await this.#wake("implicit_wake", SYSTEM));
  }

  async #wake(reason: WakeReason, by: string): Promise<boolean> {
    if (this.isAwake) return false;
    const { store } = this.core;
    const now = Date.now();
    const patch = { state: "init", wokeAt: now, lastActivityAt: now } as const;
    const woken = await store.updateAgent(this.agent.id, patch, { states: ["slept"] });
    if (woken === undefined || this.isGone) throw new PaddockError("not_found", "Agent not found");
    this.see(woken);
    this.isAwake = true;
    this.#wantsSandbox = true;
    await writeMarker(store, woken, makeWoke(reason, by));
    recordChange(this.core, woken, { from: "slept", reason, by, startedAt: now });
    this.announce();
    return true;
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
