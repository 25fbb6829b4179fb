/** A parser and the worst of its inputs. */
export interface Growing {
  readonly title: string;
  /** The longest input that reaches it, or as much of it as shows how it grows. */
  readonly most: number;
  /** Makes an input of about this length; only what it returns is timed. */
  readonly prepare: (length: number) => () => unknown;
}

/** Linear work doubles with its input, quadratic work takes four times as long. */
export const MOST_PER_DOUBLING = 3;

/** Lengths that are compared: three doublings apart. */
const STEP = 8;
const DOUBLINGS = Math.log2(STEP);
const ROUNDS = 5;
const ATTEMPTS = 4;
const ROUND_MS = 2;
/** What takes this long needs no second round to be told from noise. */
const LONG_MS = 200;

/**
 * How much longer each doubling of the input takes. Short inputs come first: one that is far too slow is never given
 * its longest.
 */
export async function measureGrowth({ most, prepare }: Growing): Promise<number> {
  let growth = 0;
  for (let length = most / STEP ** 2; length <= most; length *= STEP) {
    const compared = await compareTimes(prepare, length);
    ({ growth } = compared);
    if (compared.isLong && growth > MOST_PER_DOUBLING) break;
  }
  return growth;
}

/** The least of a few attempts: what disturbs a measurement makes it longer. */
async function compareTimes(prepare: Growing["prepare"], length: number): Promise<{ growth: number; isLong: boolean }> {
  let growth = Number.POSITIVE_INFINITY;
  let longMs = 0;
  for (let attempt = 0; attempt < ATTEMPTS && growth > MOST_PER_DOUBLING; attempt++) {
    const shortMs = await measure(prepare(length / STEP));
    longMs = await measure(prepare(length));
    growth = Math.min(growth, (longMs / shortMs) ** (1 / DOUBLINGS));
  }
  return { growth, isLong: longMs > LONG_MS };
}

/**
 * The least time of a run among several rounds, in milliseconds. A round is short, so that some pass undisturbed on a
 * busy machine.
 */
async function measure(run: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    let runs = 0;
    let spentMs = 0;
    for (; spentMs < ROUND_MS; runs++) {
      await run();
      spentMs = performance.now() - start;
    }
    least = Math.min(least, spentMs / runs);
    if (least > LONG_MS) break;
  }
  return least;
}
