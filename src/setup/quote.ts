/** Means itself wherever bash takes an argument. */
const PLAIN_WORD = /^[A-Za-z0-9_/@][A-Za-z0-9_./:,@%+-]*$/;

/** Means itself between single quotes, and holds nothing that a reader or shellcheck could take for an expansion. */
const PLAIN_QUOTED = /^[A-Za-z0-9_./:,@%+=~^*?<>()[\]{}|&;#" -]*$/;

/**
 * Characters that stand for themselves inside `$'...'`: printable ASCII without quote, backslash and `!` (history
 * expansion).
 */
const isLiteral = (byte: number): boolean =>
  byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c && byte !== 0x21;

/**
 * One quoted bash word that expands to exactly `text`, in any locale. What single quotes cannot show plainly becomes
 * `\ooo` in `$'...'`, so the result is one line of ASCII. Three octal digits are fixed width: a following digit cannot
 * join the escape. NUL and lone surrogates, which no word can hold, are a TypeError.
 */
export function quoteBash(text: string): string {
  if (text.includes("\0")) throw new TypeError("bash text must not contain NUL");
  if (!text.isWellFormed()) throw new TypeError("bash text must be well-formed Unicode");
  if (PLAIN_QUOTED.test(text)) return `'${text}'`;
  const body = Array.from(new TextEncoder().encode(text), (byte) =>
    isLiteral(byte) ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`,
  );
  return `$'${body.join("")}'`;
}

/** Words for an argument list or an array; those that need no quotes have none. */
export function quoteWords(words: readonly string[]): string {
  return words.map((word) => (PLAIN_WORD.test(word) ? word : quoteBash(word))).join(" ");
}
