import { styleText } from "node:util";
import { oneLine } from "./escape.ts";

type Style = Parameters<typeof styleText>[0];

/** Where people read: progress and summaries go to stderr, data to stdout. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Styles text for `stream`; plain where that is no terminal. */
export function style(format: Style, text: string, stream: NodeJS.WriteStream = process.stderr): string {
  return styleText(format, text, { stream });
}

/** Progress on one line of a terminal, as plain lines elsewhere. */
export class ProgressLine {
  readonly #live = process.stderr.isTTY === true;
  #shown = false;

  update(given: string): void {
    const text = oneLine(given);
    if (!this.#live) {
      say(text);
      return;
    }
    const width = process.stderr.columns ?? 80;
    process.stderr.write(`\r\u001b[2K${style("dim", text.slice(0, width - 1))}`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) process.stderr.write("\r\u001b[2K");
    this.#shown = false;
  }
}

/** Writes with back-pressure. What cannot be written any more is dropped: see output-loss.ts. */
export async function writeOut(stream: NodeJS.WriteStream, chunk: Buffer | string): Promise<void> {
  if (stream.destroyed || stream.write(chunk)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const events = ["drain", "error", "close"] as const;
  for (const event of events) stream.once(event, resolve);
  await promise;
  for (const event of events) stream.off(event, resolve);
}
