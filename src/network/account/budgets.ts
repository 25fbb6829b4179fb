/** What one sandbox may use of the network and of the proxy. */
export interface EgressBudgets {
  /** Guest connections at a time; one more is refused. */
  readonly connections: number;
  /** New connections per second after a burst; faster ones wait. */
  readonly connectionsPerSecond: number;
  readonly connectionBurst: number;
  /** From a head's first byte to its end; the same for a ClientHello. */
  readonly headTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** How long a guest that has its last answer may take to close. */
  readonly lingerMs: number;
  readonly resolveTimeoutMs: number;
  readonly dialTimeoutMs: number;
  /** Bytes to and from upstreams over the sandbox's life. */
  readonly txBytes: number;
  readonly rxBytes: number;
}

export const DEFAULT_BUDGETS: EgressBudgets = {
  connections: 64,
  connectionsPerSecond: 20,
  connectionBurst: 64,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  lingerMs: 1000,
  resolveTimeoutMs: 5_000,
  dialTimeoutMs: 10_000,
  txBytes: Number.POSITIVE_INFINITY,
  rxBytes: Number.POSITIVE_INFINITY,
};
