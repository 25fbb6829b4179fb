import type { AgentState } from "../../../src/model/agent.ts";
import type { ResponseStatus, TerminalStatus } from "../../../src/model/response.ts";

/** What the store keeps, as far as its rules decide about it. */
export interface ModelAgent {
  state: AgentState;
  version: number;
}

export interface ModelResponse {
  readonly agent: string;
  readonly principal: string;
  status: ResponseStatus;
  attempts: number;
  version: number;
  /** Reign of the claim. */
  reign: number | null;
  segments: string[];
}

export interface ModelFence {
  readonly reign: number;
  readonly attempt: number;
}

/** The rules of agents, responses and claims, in memory and one at a time: what the databases are held against. */
export class StateModel {
  readonly agents = new Map<string, ModelAgent>();
  readonly responses = new Map<string, ModelResponse>();
  readonly #keys = new Map<string, { readonly hash: string; readonly response: string }>();
  reign = 0;

  post(
    agentId: string,
    id: string,
    facts: {
      readonly principal: string;
      readonly refuseBusy: boolean;
      readonly maxQueued: number;
      readonly maxOfPrincipal: number;
      readonly key: { readonly key: string; readonly hash: string } | undefined;
    },
  ): string {
    const agent = this.agents.get(agentId);
    const known = facts.key && this.#keys.get(`${facts.principal} ${facts.key.key}`);
    if (known !== undefined) {
      if (known.hash !== facts.key?.hash || !this.responses.has(known.response)) return "idempotency_conflict";
      return agent === undefined ? "idempotency_conflict" : known.response;
    }
    if (agent === undefined) return "not_found";
    if (facts.refuseBusy && agent.state === "busy") return "agent_busy";
    const pending = [...this.responses.values()].filter((response) => response.status === "pending");
    const isFull =
      pending.filter((response) => response.agent === agentId).length >= facts.maxQueued ||
      pending.filter((response) => response.principal === facts.principal).length >= facts.maxOfPrincipal;
    if (isFull) return "queue_full";
    if (facts.key !== undefined)
      this.#keys.set(`${facts.principal} ${facts.key.key}`, { hash: facts.key.hash, response: id });
    this.responses.set(id, {
      agent: agentId,
      principal: facts.principal,
      status: "pending",
      attempts: 0,
      version: 1,
      reign: null,
      segments: [],
    });
    agent.version += 1;
    if (agent.state === "init" || agent.state === "idle") agent.state = "busy";
    return id;
  }

  claim(agentId: string, reign: number): string | undefined {
    if (reign !== this.reign) return "fenced";
    const agent = this.agents.get(agentId);
    const [id, response] =
      [...this.responses].find(([, each]) => each.agent === agentId && each.status === "pending") ?? [];
    if (agent === undefined || response === undefined) return undefined;
    if (agent.state !== "busy") Object.assign(agent, { state: "busy", version: agent.version + 1 });
    Object.assign(response, { status: "processing", reign, attempts: response.attempts + 1 });
    response.version += 1;
    return id;
  }

  append(id: string, fence: ModelFence, segment: string): number | false {
    const response = this.#findClaimed(id, fence);
    if (response === undefined) return false;
    response.version += 1;
    return response.segments.push(segment);
  }

  finish(id: string, fence: ModelFence, status: TerminalStatus, segment: string): boolean {
    return this.#findClaimed(id, fence) !== undefined && this.end(id, status, segment);
  }

  end(id: string, status: TerminalStatus, segment: string): boolean {
    const response = this.responses.get(id);
    if (response === undefined || (response.status !== "pending" && response.status !== "processing")) return false;
    Object.assign(response, { status, reign: null, version: response.version + 1 });
    response.segments.push(segment);
    return true;
  }

  requeue(id: string, fence: ModelFence): boolean {
    const response = this.#findClaimed(id, fence);
    if (response === undefined) return false;
    Object.assign(response, { status: "pending", reign: null, version: response.version + 1 });
    return true;
  }

  amend(id: string, segment: string): boolean {
    const response = this.responses.get(id);
    if (response === undefined) return false;
    response.version += 1;
    response.segments.push(segment);
    return true;
  }

  settle(agentId: string): AgentState | undefined {
    const agent = this.agents.get(agentId);
    const isOpen = [...this.responses.values()].some(
      (each) => each.agent === agentId && (each.status === "pending" || each.status === "processing"),
    );
    if (agent?.state === "busy" && !isOpen) Object.assign(agent, { state: "idle", version: agent.version + 1 });
    return agent?.state;
  }

  update(agentId: string, state: AgentState, states: readonly AgentState[]): boolean {
    const agent = this.agents.get(agentId);
    if (agent === undefined || !states.includes(agent.state)) return false;
    Object.assign(agent, { state, version: agent.version + 1 });
    return true;
  }

  takeOver(): readonly string[] {
    const taken = [...this.responses].filter(
      ([, each]) => each.status === "processing" && each.reign !== null && each.reign < this.reign,
    );
    for (const [, response] of taken) Object.assign(response, { reign: this.reign, version: response.version + 1 });
    return taken.map(([id]) => id);
  }

  remove(agentId: string): boolean {
    for (const [id, response] of this.responses) if (response.agent === agentId) this.responses.delete(id);
    return this.agents.delete(agentId);
  }

  #findClaimed(id: string, fence: ModelFence): ModelResponse | undefined {
    const response = this.responses.get(id);
    if (response?.status !== "processing" || fence.reign !== this.reign) return undefined;
    return response.reign === fence.reign && response.attempts === fence.attempt ? response : undefined;
  }
}
