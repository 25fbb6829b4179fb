import type { AgentServices } from "../core/agent-services.ts";

/** What the wall clock may gain or lose between two rounds without having been set. */
const MOST_DRIFT_MS = 60_000;

/**
 * Removes ended responses past their time, at the start and then in an interval. Ages are of the wall clock: a round
 * after somebody has set it removes nothing, for a clock that was set wrong is often set again.
 */
export class Pruning implements Disposable {
  readonly #core: AgentServices;
  #lastRound = readClocks();
  #timer: NodeJS.Timeout | undefined;

  constructor(core: AgentServices) {
    this.#core = core;
  }

  async start(): Promise<void> {
    await this.#prune();
    this.#timer = setInterval(() => void this.#prune(), this.#core.tuning.pruneMs).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #prune(): Promise<void> {
    const { store, config, telemetry } = this.#core;
    const setByMs = measureSetting(this.#lastRound);
    this.#lastRound = readClocks();
    if (Math.abs(setByMs) > MOST_DRIFT_MS) {
      const reason = `the clock was set by ${Math.round(setByMs / 1000)} s; nothing is removed before the next round`;
      return telemetry.problem("agents.prune", new Error(reason));
    }
    await store
      .prune(config.retentionMs, config.retentionBytes)
      .catch((error: unknown) => telemetry.problem("agents.prune", error));
  }
}

interface Clocks {
  readonly wall: number;
  readonly steady: number;
}

const readClocks = (): Clocks => ({ wall: Date.now(), steady: performance.now() });

/** By how much the wall clock was set since then. */
function measureSetting({ wall, steady }: Clocks): number {
  const now = readClocks();
  return now.wall - wall - (now.steady - steady);
}
