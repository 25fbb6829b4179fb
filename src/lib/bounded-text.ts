/**
 * Head and tail of a text within `maxLength` UTF-16 units, with a line that says what is missing. `cutBytes` are
 * missing in its middle already (`shortenText`).
 */
export function clipText(
  text: string,
  maxLength: number,
  cutBytes = 0,
): { readonly text: string; readonly isClipped: boolean } {
  if (text.length <= maxLength) return { text, isClipped: false };
  const { head, tail } = takeEnds(text, Math.floor(maxLength / 2));
  const missing = cutBytes + Buffer.byteLength(text) - Buffer.byteLength(head) - Buffer.byteLength(tail);
  return { text: `${head}\n[... ${missing} bytes left out ...]\n${tail}`, isClipped: true };
}

/** So much of a text that clipping it to `maxLength` or less, with `cutBytes`, gives what clipping the whole gives. */
export function shortenText(text: string, maxLength: number): { readonly text: string; readonly cutBytes: number } {
  if (text.length <= maxLength * 3) return { text, cutBytes: 0 };
  const { head, tail } = takeEnds(text, maxLength);
  const kept = head + tail;
  return { text: copyText(kept), cutBytes: Buffer.byteLength(text) - Buffer.byteLength(kept) };
}

/** At most `maxLength` UTF-16 units from the end. */
export function shortenEnd(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  return copyText(text.slice(-maxLength).replace(/^[\udc00-\udfff]/, ""));
}

/** A slice would keep the whole text in memory. */
const copyText = (text: string): string => Buffer.from(text).toString();

/** No half of a character stands at the cuts. */
function takeEnds(text: string, length: number): { readonly head: string; readonly tail: string } {
  const head = text.slice(0, length).replace(/[\ud800-\udbff]$/, "");
  const tail = text.slice(text.length - length).replace(/^[\udc00-\udfff]/, "");
  return { head, tail };
}

/** The last lines of a text, at most `maxLines` and `maxLength` UTF-16 units of them. */
export function lastLines(text: string, maxLines: number, maxLength: number): string {
  const lines = text.trimEnd().slice(-maxLength).split("\n");
  return lines
    .slice(-maxLines)
    .join("\n")
    .replace(/^[\udc00-\udfff]/, "");
}

/** A Markdown code block; its fence is longer than any run of backticks inside. */
export function fence(text: string): string {
  const longest = (text.match(/`{3,}/g) ?? []).reduce((length, run) => Math.max(length, run.length), 2);
  const mark = "`".repeat(longest + 1);
  return `${mark}\n${text.replace(/\n$/, "")}\n${mark}`;
}
