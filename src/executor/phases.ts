import type { Phases } from "../model/record.ts";

/** Books wall time (monotonic, milliseconds) to the phases of one call; every moment belongs to exactly one phase. */
export class PhaseClock {
  readonly phases: Phases = { queue: 0, lease: 0, prepare: 0, transfer_in: 0, run: 0, transfer_out: 0 };
  #last: number;

  constructor(now: number = performance.now()) {
    this.#last = now;
  }

  /** Books the time since the last mark to `phase`. */
  mark(phase: keyof Phases): void {
    const now = performance.now();
    this.phases[phase] += now - this.#last;
    this.#last = now;
  }

  total(): number {
    return Object.values(this.phases).reduce((sum: number, ms: number) => sum + ms, 0);
  }
}
