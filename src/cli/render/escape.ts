/**
 * What a terminal obeys or hides, or a reader takes for something else: control and format characters (direction
 * marks), halves of pairs, separators.
 */
const ACTIVE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const ACTIVE_IN_TEXT = /(?![\t\n])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const STYLED_OR_ACTIVE = /\p{Cc}\[[\d;]{0,32}m|[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const STYLE = "\u001b[";
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A name or another text of somebody else's in a line of a list. */
export const oneLine = (text: string): string => text.replace(ACTIVE, show);

/** A text of somebody else's that may have several lines. */
export const printable = (text: string): string => text.replace(ACTIVE_IN_TEXT, show);

/** A cell of a table: one line, and styles pass. */
export const showCell = (text: string): string =>
  text.replace(STYLED_OR_ACTIVE, (found) => {
    const [first = ""] = found;
    return found.startsWith(STYLE) ? found : show(first) + found.slice(first.length);
  });

export function show(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return NAMED[character] ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`);
}
