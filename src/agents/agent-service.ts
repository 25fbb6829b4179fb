import { randomUUID } from "node:crypto";
import { PaddockError } from "../errors/error.ts";
import { noAgent } from "../errors/not-found.ts";
import { type AgentRow, type PublishPermissions, SOFT_LIMIT_TOKENS } from "../model/agent.ts";
import { makeTaskId } from "../model/ids.ts";
import type { Principal } from "../model/principal.ts";
import { isTerminalStatus, type ResponseRow } from "../model/response.ts";
import type { SandboxFiles } from "../sandbox/files.ts";
import type { IdempotencyKey, ResponseWithSegments } from "../store/state-store/responses.ts";
import { describeAgent } from "./acts/agent-details.ts";
import { amendResponse, cancelOne, cancelPresent } from "./acts/amend-response.ts";
import { createAgent, makePrompt, remixAgent } from "./acts/create-agent.ts";
import { closeAll, drainAll } from "./acts/drain.ts";
import { Pruning } from "./acts/prune.ts";
import { publish, unpublish } from "./acts/publish.ts";
import { recoverAgents } from "./acts/recover.ts";
import { removeAgent } from "./acts/remove-agent.ts";
import { clearContext } from "./acts/token-window.ts";
import type {
  AgentDetails,
  Agents,
  NewAgent,
  PostRequest,
  RemixRequest,
  ResponseAmendment,
  SleepRequest,
} from "./agents.ts";
import type { LiveAgents } from "./awake/live-agents.ts";
import { SleepTimers } from "./awake/sleep-timers.ts";
import { Timeouts } from "./awake/timeouts.ts";
import type { AgentServices } from "./core/agent-services.ts";
import { mayHaveWritten } from "./core/retry-write.ts";
import type { LiveEvent } from "./events/live-events.ts";

type Posted = Awaited<ReturnType<Agents["post"]>>;

/** The agents of one process and data folder. What needs more than a few lines has a file of its own. */
export class AgentService implements Agents {
  readonly #core: AgentServices;
  readonly #roster: LiveAgents;
  readonly #timeouts: Timeouts;
  readonly #pruning: Pruning;
  readonly #timers = new SleepTimers();
  readonly #close: () => void;
  #closed: Promise<void> | undefined;

  /** `close` aborts `core.closing`. */
  constructor(core: AgentServices, roster: LiveAgents, close: () => void) {
    this.#core = core;
    this.#roster = roster;
    this.#timeouts = new Timeouts(core, roster);
    this.#pruning = new Pruning(core);
    this.#close = close;
  }

  async start(): ReturnType<Agents["start"]> {
    const { store, nodeId, config } = this.#core;
    this.#core.reign = await store.beginReign(nodeId, config.service.publicUrl ?? null);
    const found = await recoverAgents(this.#core, this.#roster);
    await this.#pruning.start();
    this.#timeouts.start();
    return found;
  }

  async drain(graceMs: number): ReturnType<Agents["drain"]> {
    return await drainAll(this.#core, this.#roster, graceMs);
  }

  async create(request: NewAgent, by: Principal, key?: IdempotencyKey): Promise<AgentRow> {
    this.#assertOpen();
    return await createAgent(this.#core, this.#roster, request, by, key);
  }

  async remix(parent: AgentRow, request: RemixRequest, by: Principal): Promise<AgentRow> {
    this.#assertOpen();
    return await remixAgent(this.#core, this.#roster, parent, request, by);
  }

  async remove(agent: AgentRow): Promise<void> {
    this.#timers.cancel(agent.id);
    await removeAgent(this.#core, this.#roster, agent);
  }

  async sleep(agent: AgentRow, { delaySeconds, note }: SleepRequest, by: Principal): Promise<AgentRow> {
    const present = await this.#look(agent);
    if (present.state === "slept") throw alreadySleeping();
    const order = { reason: "user", by: by.name, delaySeconds, note, cancels: true } as const;
    const sleep = async (): Promise<AgentRow | undefined> => await this.#roster.get(agent).sleep(order);
    if (delaySeconds > 0) {
      const report = (error: unknown): void => this.#core.telemetry.problem("agents.sleep", error);
      this.#timers.set(agent.id, delaySeconds * 1000, () => void sleep().catch(report));
      return present;
    }
    this.#timers.cancel(agent.id);
    const asleep = await sleep();
    if (asleep === undefined) throw alreadySleeping();
    return asleep;
  }

  async wake(agent: AgentRow, prompt: string | null, by: Principal): Promise<AgentRow> {
    this.#assertOpen();
    const live = this.#roster.get(agent);
    if (live.isGone) throw noAgent();
    if (live.isAwake) throw cannotWake(await this.#look(agent));
    this.#timers.cancel(agent.id);
    return await live.wake("user_wake", by.name, async (hasWoken) => {
      if (!hasWoken) throw cannotWake(await this.#look(agent));
      const { agent: woken } = live;
      if (prompt !== null)
        await this.#insert(woken, {
          ...{ ...makePrompt(prompt, by.name), refuseBusy: false, key: undefined },
          isOwners: true,
        });
      return woken;
    });
  }

  async cancel(agent: AgentRow): Promise<boolean> {
    return await cancelPresent(this.#core, this.#roster, agent);
  }

  async cancelResponse(agent: AgentRow, responseId: string): Promise<boolean> {
    return await cancelOne(this.#core, this.#roster, agent, responseId);
  }

  async post(agent: AgentRow, request: PostRequest, by: Principal): Promise<Posted> {
    this.#assertOpen();
    const { options, input, refuseBusy, key } = request;
    if (agent.lastContextLength >= SOFT_LIMIT_TOKENS) throw contextFull(agent);
    if (this.#roster.find(agent.id)?.isGone) throw noAgent();
    const made = { id: randomUUID(), taskId: makeTaskId(), createdBy: by.name, input, options, createdAt: Date.now() };
    const insert = (): Promise<Posted> => this.#insert(agent, { ...made, refuseBusy, key, isOwners: request.mayWake });
    // The door's row may be old: a command would wait for the task that runs.
    if (agent.state !== "slept" || this.#roster.find(agent.id)?.isAwake === true) return await insert();
    if (!request.mayWake) throw new PaddockError("forbidden", "You can only wake your own agents.");
    this.#timers.cancel(agent.id);
    return await this.#roster.get(agent).wake("implicit_wake", by.name, insert);
  }

  async amend(agent: AgentRow, responseId: string, change: ResponseAmendment): Promise<ResponseWithSegments> {
    return await amendResponse(this.#core, this.#roster, agent, responseId, change);
  }

  async awaitResponse(
    responseId: string,
    until: { readonly version: number } | "ended",
    signal: AbortSignal,
  ): Promise<ResponseWithSegments | undefined> {
    return await this.#core.logs.awaitResponse(responseId, until, signal);
  }

  follow(responseId: string, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<LiveEvent> {
    return this.#core.logs.follow(responseId, lastEventId, signal);
  }

  async files(agent: AgentRow, signal: AbortSignal): Promise<SandboxFiles> {
    return (await this.#roster.get(agent).awaitLease(signal)).sandbox.files;
  }

  async runtime(agent: AgentRow): ReturnType<Agents["runtime"]> {
    const { wokeAt, runtimeMs } = await this.#look(agent);
    const currentMs = wokeAt === null ? 0 : Math.max(0, Date.now() - wokeAt);
    return { totalSeconds: Math.floor((runtimeMs + currentMs) / 1000), currentSeconds: Math.floor(currentMs / 1000) };
  }

  async details(agent: AgentRow): Promise<AgentDetails> {
    return await describeAgent(this.#core, this.#roster, await this.#look(agent), this.#timers.dueAt(agent.id));
  }

  async publish(agent: AgentRow, permissions: PublishPermissions, by: Principal): Promise<AgentRow> {
    return await publish(this.#core, this.#roster, agent, permissions, by);
  }

  async unpublish(agent: AgentRow): Promise<AgentRow> {
    return await unpublish(this.#core, agent);
  }

  async clearContext(agent: AgentRow, kind: "clear" | "compact"): Promise<AgentRow> {
    return await clearContext(this.#core, agent, kind);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#dispose();
    await this.#closed;
  }

  async #dispose(): Promise<void> {
    this.#core.isDraining = true;
    this.#timers[Symbol.dispose]();
    this.#timeouts[Symbol.dispose]();
    this.#pruning[Symbol.dispose]();
    await closeAll(this.#core, this.#roster, this.#close);
    this.#core.logs[Symbol.dispose]();
  }

  async #insert(
    agent: AgentRow,
    {
      refuseBusy,
      key,
      isOwners,
      ...response
    }: Pick<ResponseRow, "id" | "taskId" | "createdBy" | "input" | "options" | "createdAt"> & {
      readonly refuseBusy: boolean;
      readonly key: IdempotencyKey | undefined;
      /** Others fill half of the queue at most, so that the owner of a published agent always gets in. */
      readonly isOwners: boolean;
    },
  ): Promise<Posted> {
    const { store, config } = this.#core;
    const options = {
      refuseBusy,
      maxQueued: isOwners ? config.service.maxQueuedPerAgent : Math.floor(config.service.maxQueuedPerAgent / 2),
      maxOfPrincipal: config.service.maxQueuedPerPrincipal,
      ...(key === undefined ? {} : { key }),
    };
    const posted = await store.insertResponse(agent.id, response, options).catch((error: unknown) => {
      // The response may wait all the same, and nobody else would look for it.
      if (mayHaveWritten(error)) this.#roster.get(agent).poke();
      throw error;
    });
    const { row, agent: present, isNew } = posted;
    if (isTerminalStatus(row.status)) return { row, isNew };
    const live = this.#roster.get(present);
    if (live.isGone) throw noAgent();
    live.refresh(present);
    live.poke();
    return { row, isNew };
  }

  async #look(agent: AgentRow): Promise<AgentRow> {
    const present = await this.#core.store.getAgent(agent.id);
    if (present === undefined) throw noAgent();
    return present;
  }

  #assertOpen(): void {
    if (this.#core.isDraining) throw new PaddockError("draining", "the server is about to stop");
  }
}

const cannotWake = ({ state }: AgentRow): PaddockError =>
  new PaddockError("wrong_state", `Cannot wake agent in ${state} state - only sleeping agents can be woken`);
const alreadySleeping = (): PaddockError => new PaddockError("wrong_state", "Agent is already sleeping");

function contextFull({ name, lastContextLength }: AgentRow): PaddockError {
  const clear = `Clear context via POST /api/v0/agents/${name}/context/clear and try again.`;
  return new PaddockError(
    "context_full",
    `Context is full (${lastContextLength} / ${SOFT_LIMIT_TOKENS} tokens). ${clear}`,
  );
}
