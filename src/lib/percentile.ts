/** Nearest rank: the value that `share` of the sorted values do not exceed. NaN for no values. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
