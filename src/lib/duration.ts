const FACTORS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `500ms`, `30s`, `5m`, `1h`, or seconds as a plain number, to milliseconds; undefined for anything else. */
export function readDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  return match === null ? undefined : Math.round(Number(match[1]) * (FACTORS[match[2] ?? "s"] ?? Number.NaN));
}
