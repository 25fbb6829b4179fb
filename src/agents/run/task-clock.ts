import type { ResponseRow } from "../../model/response.ts";

/** Books the time of a response, from its POST, to the phases it goes through; every moment belongs to one. */
export class TaskClock {
  readonly #startedAt: number;
  readonly #phasesMs: Record<string, number>;
  #phase = "sandbox";
  #since = performance.now();

  constructor({ createdAt }: Pick<ResponseRow, "createdAt">, now: number = Date.now()) {
    this.#startedAt = createdAt;
    this.#phasesMs = { queue: Math.max(0, now - createdAt), sandbox: 0, setup: 0, run: 0 };
  }

  begin(phase: "sandbox" | "setup" | "run"): void {
    const now = performance.now();
    this.#phasesMs[this.#phase] = (this.#phasesMs[this.#phase] ?? 0) + now - this.#since;
    this.#phase = phase;
    this.#since = now;
  }

  finish(): {
    readonly startedAt: number;
    readonly durationMs: number;
    readonly phasesMs: Readonly<Record<string, number>>;
  } {
    this.begin("run");
    const phasesMs = Object.fromEntries(
      Object.entries(this.#phasesMs).map(([phase, ms]) => [phase, Math.round(ms * 100) / 100]),
    );
    const durationMs = Object.values(phasesMs).reduce((sum, ms) => sum + ms, 0);
    return { startedAt: this.#startedAt, durationMs, phasesMs };
  }
}
