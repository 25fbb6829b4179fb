import type { Lease } from "../../fleet/leases/lease.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { AgentServices } from "../core/agent-services.ts";
import type { AgentSandbox } from "../sandbox/agent-sandbox.ts";
import type { StateTimes } from "./state-times.ts";

/** An agent of this process, as the steps that change it see it. `LiveAgent` describes the members. */
export interface AgentHandle {
  readonly core: AgentServices;
  readonly agent: AgentRow;
  readonly place: AgentSandbox;
  readonly times: StateTimes;
  readonly gone: AbortSignal;
  readonly isGone: boolean;
  isAwake: boolean;
  isDissolved: boolean;
  wantsSandbox: boolean;
  readonly complete: (interrupted?: AbortSignal) => Promise<boolean>;
  command<T>(command: () => Promise<T>): Promise<T>;
  awaitLease(signal: AbortSignal): Promise<Lease>;
  attempt(work: (signal: AbortSignal) => Promise<void>, interrupted?: AbortSignal): Promise<boolean>;
  refresh(agent: AgentRow | undefined): void;
  beginDeletion(): void;
  announce(): void;
  checkWithin(seconds: number): void;
}

/** The agents of this process, as steps that need another agent see them. `LiveAgents` describes the members. */
export interface AgentRegistry {
  get(agent: AgentRow): AgentHandle;
  evict(owner: string): Promise<boolean>;
}
