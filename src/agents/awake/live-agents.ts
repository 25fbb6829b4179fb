import type { AgentRow } from "../../model/agent.ts";
import type { AgentId } from "../../model/ids.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { SYSTEM } from "../core/markers.ts";
import type { AgentRegistry } from "./agent-handle.ts";
import { LiveAgent } from "./live-agent.ts";
import { completeWorkspace } from "./parent-copy.ts";

/** The agents that are awake here or have something to do. Who is not in it is asleep. */
export class LiveAgents implements AgentRegistry, Iterable<LiveAgent> {
  readonly #core: AgentServices;
  readonly #live = new Map<AgentId, LiveAgent>();

  constructor(core: AgentServices) {
    this.#core = core;
  }

  /**
   * An agent whose row is written next: known here before anybody can see the row, so that whoever removes it finds
   * this object and no second one. It begins with the first `poke`; without a row it is to be forgotten.
   */
  expect(agent: AgentRow): LiveAgent {
    return this.#add(agent, true);
  }

  forget(live: LiveAgent): void {
    if (this.#live.get(live.agent.id) === live) this.#live.delete(live.agent.id);
  }

  /** An agent as this process knows it; one that it did not know is asleep. */
  get(agent: AgentRow): LiveAgent {
    return this.#live.get(agent.id) ?? this.#add(agent, false);
  }

  find(id: AgentId): LiveAgent | undefined {
    return this.#live.get(id);
  }

  [Symbol.iterator](): Iterator<LiveAgent> {
    return this.#live.values();
  }

  /**
   * Puts an agent to sleep for room that one of `owner` needs: the one of the owner's own that has been idle longest,
   * else the one that has been among those of principals who have more sandboxes than the owner. False when there is
   * none.
   */
  async evict(owner: string): Promise<boolean> {
    const isOwn = ({ agent }: LiveAgent): boolean => agent.createdBy === owner;
    const idle = [...this.#live.values()].filter((live) => live.isIdle);
    if (await this.#evictOne(idle.filter(isOwn), () => true)) return true;
    const others = idle.filter((live) => !isOwn(live));
    return await this.#evictOne(
      others,
      ({ agent }) => this.#countSandboxes(owner) < this.#countSandboxes(agent.createdBy),
    );
  }

  async #evictOne(idle: readonly LiveAgent[], mayTake: (live: LiveAgent) => boolean): Promise<boolean> {
    const order = { reason: "capacity", by: SYSTEM, delaySeconds: 0, cancels: false, states: ["idle"] } as const;
    for (const longest of idle.toSorted((one, other) => idleSince(one) - idleSince(other)))
      if (longest.isIdle && mayTake(longest) && (await longest.sleep(order)) !== undefined) return true;
    return false;
  }

  #countSandboxes(owner: string): number {
    return [...this.#live.values()].filter(({ agent, place }) => agent.createdBy === owner && place.lease !== undefined)
      .length;
  }

  #add(agent: AgentRow, isAwake: boolean): LiveAgent {
    const live = new LiveAgent(this.#core, agent, {
      isAwake,
      complete: (interrupted) => completeWorkspace(this.#core, this, live, interrupted),
      evict: () => this.evict(agent.createdBy),
      onRest: () => {
        if (live.isQuiet) this.forget(live);
      },
    });
    this.#live.set(agent.id, live);
    return live;
  }
}

const idleSince = ({ times }: LiveAgent): number => times.since("idleFrom") ?? 0;
