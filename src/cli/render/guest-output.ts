import { StringDecoder } from "node:string_decoder";
import { show } from "./escape.ts";
import { writeOut } from "./terminal.ts";

/** Control characters but tab, line feed and carriage return, and marks that turn the direction of what follows. */
const CONTROLS = /(?![\t\n\r])\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu;
const ESCAPE = "\u001b";
const COLOUR = /^\[[\d;]{0,32}m/;

/**
 * A guest's output on its way to a person: colours pass, everything else that could command a terminal is shown. Pipes
 * and files get the bytes.
 */
export class GuestOutput {
  readonly #decoders = new Map<NodeJS.WriteStream, StringDecoder>();

  async write(stream: NodeJS.WriteStream, chunk: Buffer): Promise<void> {
    if (!stream.isTTY) return await writeOut(stream, chunk);
    const decoder = this.#decoders.get(stream) ?? new StringDecoder("utf8");
    this.#decoders.set(stream, decoder);
    await writeOut(stream, showCommands(decoder.write(chunk)));
  }
}

export function showCommands(text: string): string {
  return text.replace(CONTROLS, (char, offset: number) => {
    if (char === ESCAPE && COLOUR.test(text.slice(offset + 1, offset + 36))) return char;
    return show(char);
  });
}
