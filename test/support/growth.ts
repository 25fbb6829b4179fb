import { expect } from "vitest";

const TRIES = 60;
/** Twice the input may take three times as long; a quadratic reader takes four times. */
const MOST = 3;

/** The quickest of many: one that nothing else interrupted. */
function measureMs(work: () => unknown): number {
  const times = Array.from({ length: TRIES }, () => {
    const begun = performance.now();
    work();
    return performance.now() - begun;
  });
  return Math.min(...times);
}

/** That `work` grows no faster than its input, doubled. Give it a size at which it takes a fraction of a millisecond: what takes longer than a turn of a busy machine is always interrupted. */
export function expectLinear<T>(makeInput: (size: number) => T, size: number, work: (input: T) => unknown): void {
  const [once, twice] = [makeInput(size), makeInput(2 * size)];
  measureMs(() => work(twice));
  expect(measureMs(() => work(twice)) / measureMs(() => work(once))).toBeLessThan(MOST);
}
