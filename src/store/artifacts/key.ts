import { PaddockError } from "../../errors/error.ts";

export const MAX_KEY_BYTES = 1024;
const MAX_METADATA_BYTES = 1500;
const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;
const VALUE = /^[\x20-\x7e]*$/;
/** With the two characters that XML, in which servers list keys, has no way to write. */
const CONTROL = /[\p{Cc}\ufffe\uffff]/u;

export function assertKey(key: string): void {
  const rule = brokenRule(key);
  if (rule !== undefined)
    throw new PaddockError("invalid_request", `artifact key ${JSON.stringify(key.slice(0, 100))}: ${rule}`);
}

export function assertPrefix(prefix: string): void {
  if (prefix === "") return;
  const rule = brokenRule(prefix.endsWith("/") ? prefix.slice(0, -1) : prefix);
  if (rule !== undefined)
    throw new PaddockError("invalid_request", `artifact prefix ${JSON.stringify(prefix.slice(0, 100))}: ${rule}`);
}

function brokenRule(key: string): string | undefined {
  const bytes = Buffer.byteLength(key);
  if (bytes === 0 || bytes > MAX_KEY_BYTES) return `must have 1 to ${MAX_KEY_BYTES} bytes, has ${bytes}`;
  if (!key.isWellFormed() || CONTROL.test(key)) return "must be text without control characters";
  const segments = key.split("/");
  if (segments.includes("")) return "must not begin or end with / or hold //";
  return segments.some((segment) => segment === "." || segment === "..") ? "must not hold . or .. segments" : undefined;
}

export function assertMetadata(metadata: Readonly<Record<string, string>>): void {
  const entries = Object.entries(metadata);
  const bad = entries.find(([name, value]) => !NAME.test(name) || !VALUE.test(value) || value.trim() !== value);
  if (bad !== undefined) throw new PaddockError("invalid_request", `artifact metadata ${JSON.stringify(bad[0])}`);
  const bytes = entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (bytes > MAX_METADATA_BYTES) throw new PaddockError("invalid_request", `artifact metadata has ${bytes} bytes`);
}

/** Length of a page, checked. */
export function pageLimit(limit: number | undefined): number {
  if (limit === undefined) return 1000;
  if (Number.isInteger(limit) && limit >= 1 && limit <= 1000) return limit;
  throw new PaddockError("invalid_request", `limit is ${limit}; use 1 to 1000`);
}

/** Of keys, by their UTF-8 bytes. */
export function compareKeys(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
