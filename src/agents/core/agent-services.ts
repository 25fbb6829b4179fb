import type { Config } from "../../config/config.ts";
import type { Executor } from "../../executor/executor.ts";
import type { Fleet } from "../../fleet/fleet.ts";
import type { FairSlots } from "../../lib/fair-slots.ts";
import type { Stopwatch } from "../../lib/stopwatch.ts";
import type { ArtifactStore } from "../../store/artifact-store.ts";
import type { StateStore } from "../../store/state-store.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import type { LiveLogs } from "../events/live-log.ts";
import type { StrangerCopies } from "./stranger-copies.ts";

export interface AgentsParts {
  readonly fleet: Fleet;
  readonly executor: Executor;
  readonly store: StateStore;
  /** Holds what agents publish. */
  readonly artifacts: ArtifactStore;
  readonly telemetry: Telemetry;
  readonly config: Config;
  /** Names the data folder; agents of others are none of ours. */
  readonly nodeId: string;
}

/** How long things may take; for tests. */
export interface AgentsTuning {
  /** A task waits this long for room on the machine, then it fails with `capacity`. */
  readonly capacityWaitMs: number;
  /** How often timeouts are looked at. */
  readonly tickMs: number;
  readonly pruneMs: number;
}

export const TUNING: AgentsTuning = { capacityWaitMs: 120_000, tickMs: 1000, pruneMs: 60 * 60 * 1000 };

/** What the agents of one process share. */
export interface AgentServices extends AgentsParts {
  readonly tuning: AgentsTuning;
  readonly logs: LiveLogs;
  readonly slots: FairSlots;
  readonly strangerCopies: StrangerCopies;
  /** No new work is taken. */
  isDraining: boolean;
  /** Aborts when the process is done with its agents; nothing is tried again then. */
  readonly closing: AbortSignal;
  /** Number of this process's reign over the data folder; 0 before `start`. */
  reign: number;
}

/** Tells that an agent is in another state now. */
export function recordChange(
  { telemetry }: AgentServices,
  agent: string,
  change: {
    readonly from: string;
    readonly to: string;
    readonly reason: string;
    readonly by?: string;
    readonly watch: Stopwatch;
  },
): void {
  const { by, watch, ...states } = change;
  const facts = { ...states, startedAt: watch.startedAt, durationMs: watch.durationMs };
  const principal = by === undefined ? {} : { principal: by };
  telemetry.record({ op: "agent.change", ...facts, agent, ...principal });
}
