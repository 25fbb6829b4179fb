/**
 * Postgres stores no U+0000 and neither database stores a lone surrogate, but names, descriptions and keys come from
 * anybody. Such a character is stored as U+001A and four hex digits; U+001A itself, too, so that two texts never become
 * one. JSON text holds none of them: `JSON.stringify` escapes all three.
 */
const MARK = "\u001a";
const NUL = "\u0000";
/** With the flag `u`, a surrogate of a pair is no character of its own. */
const UNSTORABLE = new RegExp(`[${NUL}${MARK}]|\\p{Cs}`, "gu");
const ENCODED = new RegExp(`${MARK}([0-9a-f]{4})`, "g");

export function encodeText(text: string): string {
  if (!text.includes(MARK) && !text.includes(NUL) && text.isWellFormed()) return text;
  return text.replace(UNSTORABLE, (found) => MARK + found.charCodeAt(0).toString(16).padStart(4, "0"));
}

export function decodeText(text: string): string {
  if (!text.includes(MARK)) return text;
  return text.replace(ENCODED, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

export const encodeParameters = (parameters: readonly unknown[]): unknown[] =>
  parameters.map((value) => (typeof value === "string" ? encodeText(value) : value));

/** Decodes the texts of a row in place. */
export function decodeRow(row: object): void {
  for (const [name, value] of Object.entries(row))
    if (typeof value === "string" && value.includes(MARK)) Object.assign(row, { [name]: decodeText(value) });
}
