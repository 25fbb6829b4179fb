import { PaddockError } from "../../errors/error.ts";
import { readDuration } from "../../lib/duration.ts";

/** `500ms`, `30s`, `5m`, `1h`, or seconds as a plain number, to milliseconds. */
export function parseDuration(text: string, option: string): number {
  const value = readDuration(text);
  if (value !== undefined && value >= 1 && value <= 86_400_000) return value;
  throw new PaddockError("invalid_request", `${option} is ${text}`, {
    hint: "Use a duration from 1ms to 24h, such as 500ms, 30s, 5m or 1h.",
  });
}

/** `512m`, `2g`, `1048576` to bytes (powers of 1024). */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt])?(?:i?b)?$/i.exec(text);
  const factor: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };
  const value = match === null ? Number.NaN : Number(match[1]) * (factor[match[2]?.toLowerCase() ?? ""] ?? 1);
  if (value >= 1 && value <= 2 ** 50) return Math.round(value);
  throw new PaddockError("invalid_request", `${option} is ${text}`, { hint: "Use a size such as 512m or 2g." });
}

/** A plain number; its range is the field's. */
export function parseNumber(text: string, option: string): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text);
  throw new PaddockError("invalid_request", `${option} is ${text}`, { hint: "Use a number such as 1 or 64." });
}
