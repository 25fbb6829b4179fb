/** What a log line or a span may hold. Objects are flat maps of numbers (phases). */
export type FieldValue = string | number | boolean | undefined | Readonly<Record<string, number>>;
export type Fields = Readonly<Record<string, FieldValue>>;

const LONGEST_NAME = 256;
const LONGEST_TEXT = 1000;
const LONGEST_READ = 64 * 1024;
const HIDDEN = "[redacted]";

/** Fields whose words somebody else chose: errors, reasons. They lose everything that has the form of a secret. */
const FREE_TEXT = new Set(["message", "reason", "detail", "stack"]);

type Rule = readonly [pattern: RegExp, replacement: string];
const ANYWHERE: readonly Rule[] = [
  [/\b(bearer|basic)\s+[^\s"']+/gi, `$1 ${HIDDEN}`],
  // Tokens of ours.
  [/\bpdk_[\w-]+/g, HIDDEN],
  // Name and password in a URL, up to the last @ before the path.
  [/:\/\/[^\s/?#"']*@/g, `://${HIDDEN}@`],
];
const IN_FREE_TEXT: readonly Rule[] = [
  // Query strings carry signatures and tokens.
  [/([?&;][\w.~-]{1,64}=)[^\s&"']+/g, `$1${HIDDEN}`],
  [
    /((?:passw(?:or)?d|secret|token|api_?key|authorization|credentials?)[\w-]{0,32}["']?\s{0,3}[=:]\s{0,3}["']?)[^\s"',;]+/gi,
    `$1${HIDDEN}`,
  ],
  [/\beyJ[\w-]+(?:\.[\w-]+)*/g, HIDDEN],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, HIDDEN],
  // 256 random bits in hex or base64; ids of ours and UUIDs are shorter.
  [/[\w+-]{40,}={0,2}/g, HIDDEN],
];
/**
 * What a terminal, a line reader or a viewer could act on or hide: control and format characters (direction marks),
 * halves of pairs, separators of lines and paragraphs.
 */
const ACTIVE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

export type Redact = (fields: Fields) => Record<string, FieldValue>;

/**
 * Makes the one function that every log line and span attribute passes before it is formatted: literal secrets and what
 * looks like one are replaced, active characters are written as `\u....`, lengths are bounded, undefined fields are
 * left out.
 *
 * @param secrets values that are never written in any field; shorter than 6 characters are ignored, for they occur by chance
 */
export function compileRedact(secrets: readonly string[]): Redact {
  const literal = secrets.filter((secret) => secret.length >= 6).toSorted((a, b) => b.length - a.length);
  return (fields) => {
    const clean: Record<string, FieldValue> = {};
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined) continue;
      clean[name] = typeof value === "string" ? redactText(value, FREE_TEXT.has(name), literal) : value;
    }
    return clean;
  };
}

function redactText(text: string, isFree: boolean, literal: readonly string[]): string {
  const longest = isFree ? LONGEST_TEXT : LONGEST_NAME;
  let clean = text.slice(0, LONGEST_READ);
  for (const secret of literal) clean = clean.replaceAll(secret, HIDDEN);
  // The patterns see four times what is kept: replacing shortens. A word that this cuts in two is dropped, for half a
  // secret has no form.
  if (clean.length > longest * 4) clean = dropLastWord(clean.slice(0, longest * 4));
  for (const [pattern, replacement] of isFree ? [...ANYWHERE, ...IN_FREE_TEXT] : ANYWHERE)
    clean = clean.replace(pattern, replacement);
  clean = escapeActive(clean);
  return clean.length > longest ? `${clean.slice(0, longest)}…` : clean;
}

function dropLastWord(text: string): string {
  let end = text.length;
  while (end > 0 && !/\s/.test(text[end - 1] ?? "")) end -= 1;
  return text.slice(0, end);
}

const escapeActive = (text: string): string =>
  text.replace(ACTIVE, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
  });
