import { toPaddockError } from "../errors/error.ts";
import { COMPARE_ROWS, type CompareKey, type Measure } from "../model/comparison.ts";
import { summarise } from "./stats.ts";

export type SampleKey = CompareKey | "plain_spawn";

/** Takes one sample of some rows of one subject. What it throws ends the sampling of these rows, and of no others. */
export interface Sampler {
  readonly subject: string;
  readonly keys: readonly SampleKey[];
  readonly sample: () => Promise<Readonly<Partial<Record<SampleKey, number>>>>;
}

export interface Rounds {
  readonly samplers: readonly Sampler[];
  readonly n: number;
  /** Rounds before, whose samples are thrown away. */
  readonly warmUp: number;
  readonly signal: AbortSignal;
}

interface Row {
  readonly values: number[];
  failure?: string;
}

/** Every sample of a comparison by subject and row. */
export class Samples {
  readonly #rows = new Map<string, Row>();

  /**
   * One sample of each sampler per round, so that the noise of a shared machine meets all alike; in another order each
   * round, so that what one sample leaves running burdens no other one more than the rest. Throws the signal's reason
   * only.
   */
  async run({ samplers, n, warmUp, signal }: Rounds): Promise<void> {
    for (let round = 0; round < n + warmUp; round++) {
      for (const sampler of shuffle(samplers)) {
        signal.throwIfAborted();
        if (!this.#hasFailed(sampler)) await this.#take(sampler, round >= warmUp, signal);
      }
    }
  }

  /** No figure is to be had for these rows. */
  miss(subject: string, keys: readonly SampleKey[], reason: string): void {
    for (const key of keys) this.#row(subject, key).failure = reason;
  }

  /** The figure of a row, or why there is none; undefined where nothing was tried. */
  measure(subject: string, key: SampleKey): Measure | undefined {
    const row = this.#rows.get(`${subject} ${key}`);
    if (row === undefined) return undefined;
    if (row.failure !== undefined) return { missing: row.failure };
    const isRate = COMPARE_ROWS.some((known) => known.key === key && known.unit === "MB/s");
    return summarise(row.values, isRate ? "higher" : "lower");
  }

  async #take({ subject, keys, sample }: Sampler, counts: boolean, signal: AbortSignal): Promise<void> {
    try {
      const taken = await sample();
      if (!counts) return;
      for (const key of keys) this.#row(subject, key).values.push(taken[key] ?? Number.NaN);
    } catch (error) {
      signal.throwIfAborted();
      this.miss(subject, keys, toPaddockError(error).message);
    }
  }

  #hasFailed({ subject, keys }: Sampler): boolean {
    return keys.some((key) => this.#rows.get(`${subject} ${key}`)?.failure !== undefined);
  }

  #row(subject: string, key: SampleKey): Row {
    const name = `${subject} ${key}`;
    const row = this.#rows.get(name) ?? { values: [] };
    this.#rows.set(name, row);
    return row;
  }
}

function shuffle<Value>(values: readonly Value[]): Value[] {
  return values
    .map((value) => ({ value, place: Math.random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ value }) => value);
}
