import { randomBytes } from "node:crypto";

const MAX_LENGTH = 64;
const SUFFIX_BYTES = 5;

/**
 * An agent name that a Ractor server accepts, from any text: letters, digits and hyphens, a letter first, a letter or
 * digit last, at most 64 characters. `_` becomes `-`. Names are compared without regard to case there, so this one is
 * lower case.
 */
export function sanitizeName(text: string, maxLength: number = MAX_LENGTH): string {
  const plain = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, maxLength)
    .replace(/-+$/, "");
  // One character alone is refused by the server's database.
  return plain.length >= 2 ? plain : "agent";
}

/** A sanitized name that no other agent has: names are not to be used again soon after a deletion. */
export function uniqueName(text: string): string {
  const suffix = randomBytes(SUFFIX_BYTES).toString("hex");
  return `${sanitizeName(text, MAX_LENGTH - suffix.length - 1)}-${suffix}`;
}
