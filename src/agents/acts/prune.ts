import type { AgentServices } from "../core/agent-services.ts";

/** Removes ended responses past their time, at the start and then in an interval. */
export class Pruning implements Disposable {
  readonly #core: AgentServices;
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
    await store
      .prune(config.retentionMs, config.retentionBytes)
      .catch((error: unknown) => telemetry.problem("agents.prune", error));
  }
}
