import type { AgentRow } from "../../model/agent.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { SYSTEM } from "../core/markers.ts";
import type { LiveAgent } from "./live-agent.ts";
import type { LiveAgents } from "./live-agents.ts";

/** Timeouts may be changed in the store at any time, so each agent that is awake is looked up at least this often. */
const LOOK_MS = 10_000;

/** Puts agents to sleep that have been idle or busy too long. */
export class Timeouts implements Disposable {
  readonly #core: AgentServices;
  readonly #roster: LiveAgents;
  #timer: NodeJS.Timeout | undefined;

  constructor(core: AgentServices, roster: LiveAgents) {
    this.#core = core;
    this.#roster = roster;
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), this.#core.tuning.tickMs).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    for (const live of this.#roster) {
      if (!live.isAwake || now < live.checkAt) continue;
      live.checkAt = now + LOOK_MS;
      this.#check(live, now).catch((error: unknown) => this.#core.telemetry.problem("agents.timeouts", error));
    }
  }

  async #check(live: LiveAgent, now: number): Promise<void> {
    const agent = await this.#core.store.getAgent(live.agent.id);
    if (agent === undefined) return;
    live.refresh(agent);
    const due = findDue(agent, live);
    if (due === undefined) return;
    if (due.at > now) {
      live.checkAt = Math.min(live.checkAt, due.at);
      return;
    }
    const order = { reason: due.reason, by: SYSTEM, delaySeconds: 0 } as const;
    if (due.reason === "busy_timeout") await live.sleep({ ...order, cancels: true });
    else await live.sleep({ ...order, cancels: false, states: ["idle"] });
  }
}

/**
 * When an agent is to sleep if nothing changes, on the monotonic clock. What waits for its turn does not count as busy:
 * the time runs from the start of the present task, or from when a client called the agent busy.
 */
function findDue(
  agent: AgentRow,
  live: LiveAgent,
): { readonly reason: "idle_timeout" | "busy_timeout"; readonly at: number } | undefined {
  const idleSince = live.times.since("idleFrom");
  if (agent.state === "idle" && idleSince !== undefined)
    return { reason: "idle_timeout", at: idleSince + agent.idleTimeoutSeconds * 1000 };
  if (agent.state !== "busy") return undefined;
  const since = live.workingSince ?? (live.isWorking ? undefined : live.times.since("busyFrom"));
  if (since === undefined) return undefined;
  return { reason: "busy_timeout", at: since + agent.busyTimeoutSeconds * 1000 };
}
