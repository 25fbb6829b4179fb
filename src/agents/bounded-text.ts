/** Head and tail of a text within `maxLength` UTF-16 units, with a line that says what is missing. */
export function clipText(text: string, maxLength: number): { readonly text: string; readonly isClipped: boolean } {
  if (text.length <= maxLength) return { text, isClipped: false };
  const half = Math.floor(maxLength / 2);
  const head = text.slice(0, half).replace(/[\ud800-\udbff]$/, "");
  const tail = text.slice(text.length - half).replace(/^[\udc00-\udfff]/, "");
  const missing = Buffer.byteLength(text) - Buffer.byteLength(head) - Buffer.byteLength(tail);
  return { text: `${head}\n[... ${missing} bytes left out ...]\n${tail}`, isClipped: true };
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
