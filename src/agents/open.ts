import { PaddockError } from "../errors/error.ts";
import { FairSlots } from "../lib/fair-slots.ts";
import { describeAgent, readRuntime } from "./acts/agent-details.ts";
import { amendResponse, cancelOne, cancelPresent } from "./acts/amend-response.ts";
import { createAgent, remixAgent } from "./acts/create-agent.ts";
import { closeAll, drainAll } from "./acts/drain.ts";
import { postResponse } from "./acts/post-response.ts";
import { Pruning } from "./acts/prune.ts";
import { publish, unpublish } from "./acts/publish.ts";
import { recoverAgents } from "./acts/recover.ts";
import { removeAgent } from "./acts/remove-agent.ts";
import { sleepAgent, wakeAgent } from "./acts/sleep-and-wake.ts";
import { clearContext } from "./acts/token-window.ts";
import type { Agents } from "./agents.ts";
import { LiveAgents } from "./awake/live-agents.ts";
import { SleepTimers } from "./awake/sleep-timers.ts";
import { Timeouts } from "./awake/timeouts.ts";
import { type AgentServices, type AgentsParts, type AgentsTuning, TUNING } from "./core/agent-services.ts";
import { StrangerCopies } from "./core/stranger-copies.ts";
import { LiveLogs } from "./events/live-log.ts";

export type { AgentsParts } from "./core/agent-services.ts";

/** Builds the agents of a data folder; `start` begins. Dispose of them before the fleet and the store. */
export function openAgents(parts: AgentsParts, tuning: Partial<AgentsTuning> = {}): Agents {
  const closing = new AbortController();
  const { maxRunning, maxRunningPerPrincipal } = parts.config.service;
  const core: AgentServices = {
    ...parts,
    tuning: { ...TUNING, ...tuning },
    logs: new LiveLogs(parts.store),
    slots: new FairSlots(maxRunning, Math.min(maxRunningPerPrincipal, maxRunning)),
    strangerCopies: new StrangerCopies(),
    isDraining: false,
    closing: closing.signal,
    reign: 0,
  };
  const roster = new LiveAgents(core);
  const timers = new SleepTimers();
  const close = (): void => closing.abort(new Error("the agents were closed"));
  return { ...makeLife(core, roster, timers, close), ...makeActs(core, roster, timers) };
}

type Life = Pick<Agents, "start" | "drain" | typeof Symbol.asyncDispose>;

function makeLife(core: AgentServices, roster: LiveAgents, timers: SleepTimers, close: () => void): Life {
  const timeouts = new Timeouts(core, roster);
  const pruning = new Pruning(core);
  let closed: Promise<void> | undefined;
  const dispose = async (): Promise<void> => {
    core.isDraining = true;
    for (const part of [timers, timeouts, pruning]) part[Symbol.dispose]();
    await closeAll(core, roster, close);
    core.logs[Symbol.dispose]();
  };
  return {
    start: async () => {
      core.reign = await core.store.beginReign(core.nodeId, core.config.service.publicUrl ?? null);
      const found = await recoverAgents(core, roster);
      await pruning.start();
      timeouts.start();
      return found;
    },
    drain: async (graceMs) => await drainAll(core, roster, graceMs),
    [Symbol.asyncDispose]: async () => {
      closed ??= dispose();
      await closed;
    },
  };
}

/** What callers do to agents. Acts that begin new work are refused while the server drains. */
function makeActs(core: AgentServices, roster: LiveAgents, timers: SleepTimers): Omit<Agents, keyof Life> {
  const assertOpen = (): void => {
    if (core.isDraining) throw new PaddockError("draining", "the server is about to stop");
  };
  return {
    create: async (request, by, key) => {
      assertOpen();
      return await createAgent(core, roster, request, by, key);
    },
    remix: async (parent, request, by) => {
      assertOpen();
      return await remixAgent(core, roster, parent, request, by);
    },
    remove: async (agent) => {
      timers.cancel(agent.id);
      await removeAgent(core, roster, agent);
    },
    sleep: async (agent, request, by) => await sleepAgent(core, roster, timers, agent, request, by),
    wake: async (agent, prompt, by) => {
      assertOpen();
      return await wakeAgent(core, roster, timers, agent, prompt, by);
    },
    cancel: async (agent) => await cancelPresent(core, roster, agent),
    cancelResponse: async (agent, responseId) => await cancelOne(core, roster, agent, responseId),
    post: async (agent, request, by) => {
      assertOpen();
      return await postResponse(core, roster, timers, agent, request, by);
    },
    amend: async (agent, responseId, change) => await amendResponse(core, roster, agent, responseId, change),
    awaitResponse: async (responseId, until, signal) => await core.logs.awaitResponse(responseId, until, signal),
    follow: (responseId, lastEventId, signal) => core.logs.follow(responseId, lastEventId, signal),
    files: async (agent, signal) => (await roster.get(agent).awaitLease(signal)).sandbox.files,
    runtime: async (agent) => await readRuntime(core, roster, agent),
    details: async (agent) => await describeAgent(core, roster, agent, timers.dueAt(agent.id)),
    publish: async (agent, permissions, by) => await publish(core, roster, agent, permissions, by),
    unpublish: async (agent) => await unpublish(core, agent),
    clearContext: async (agent, kind) => await clearContext(core, agent, kind),
  };
}
