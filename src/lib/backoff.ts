export interface BackoffOptions {
  readonly baseMs: number;
  readonly capMs: number;
  /** Random source in [0, 1). */
  readonly random?: () => number;
}

/** Delay before attempt `attempt` (1 is the first retry): exponential with full jitter over its upper half. */
export function backoffMs(attempt: number, options: BackoffOptions): number {
  const ceiling = Math.min(options.capMs, options.baseMs * 2 ** (attempt - 1));
  return ceiling / 2 + ((options.random ?? Math.random)() * ceiling) / 2;
}
