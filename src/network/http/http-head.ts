import { badRequest, badUpstream, type Refusal } from "../refusal.ts";

export type Header = readonly [name: string, value: string];

export interface RequestHead {
  readonly method: string;
  /** As sent, any byte but space, tab and line ends: whoever uses it checks it against its own grammar. */
  readonly target: string;
  readonly minorVersion: 0 | 1;
  readonly headers: readonly Header[];
}

export interface ResponseHead {
  readonly status: number;
  readonly phrase: string;
  readonly minorVersion: 0 | 1;
  readonly headers: readonly Header[];
}

export interface HeadLimits {
  readonly bytes: number;
  readonly headers: number;
}

export const REQUEST_LIMITS: HeadLimits = { bytes: 16 * 1024, headers: 100 };
export const RESPONSE_LIMITS: HeadLimits = { bytes: 64 * 1024, headers: 256 };

const LF = 0x0a;
const CR = 0x0d;
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([^ \t\r\n]+) HTTP\/1\.([01])$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: ([^\r\n]*))?$/;
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Finds where a head ends while its bytes come, looking at each byte once. Line ends are CR LF and nothing else: a bare
 * LF is where two parsers start to disagree.
 */
export class HeadScan {
  readonly #limitBytes: number;
  #bytes = 0;
  /** Of the line that the next chunk goes on with. */
  #lineBytes = 0;
  #last: number | undefined;
  #isStarted = false;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * Index in `chunk` after the head's empty line, `undefined` while bytes are missing, or the reason it can never be a
   * head.
   */
  push(chunk: Buffer): number | string | undefined {
    let lineStart = -this.#lineBytes;
    const limit = this.#limitBytes - this.#bytes;
    for (let lf = chunk.indexOf(LF); lf >= 0 && lf < limit; lf = chunk.indexOf(LF, lf + 1)) {
      const before = lf === 0 ? this.#last : chunk[lf - 1];
      if (lf === lineStart || before !== CR) return "a line of the head ends in a bare LF";
      const isEmptyLine = lf - 1 === lineStart;
      // Empty lines before the start line are skipped, as old clients send them after a body.
      if (isEmptyLine && this.#isStarted) return lf + 1;
      this.#isStarted ||= !isEmptyLine;
      lineStart = lf + 1;
    }
    this.#bytes += chunk.length;
    this.#lineBytes = chunk.length - lineStart;
    this.#last = chunk.at(-1) ?? this.#last;
    return this.#bytes >= this.#limitBytes ? `the head is longer than ${this.#limitBytes} bytes` : undefined;
  }
}

export function parseRequestHead(bytes: Buffer): RequestHead {
  const [startLine = "", ...lines] = splitLines(bytes);
  const match = REQUEST_LINE.exec(startLine);
  if (!match) throw badRequest("the request line is not `METHOD target HTTP/1.1`");
  const [, method = "", target = "", minor] = match;
  return {
    method,
    target,
    minorVersion: minor === "0" ? 0 : 1,
    headers: parseHeaders(lines, REQUEST_LIMITS, badRequest),
  };
}

export function parseResponseHead(bytes: Buffer): ResponseHead {
  const [startLine = "", ...lines] = splitLines(bytes);
  const match = STATUS_LINE.exec(startLine);
  if (!match) throw badUpstream("the upstream's status line is malformed");
  const [, minor, status, phrase = ""] = match;
  if (hasControls(phrase)) throw badUpstream("the upstream's status line holds control characters");
  const headers = parseHeaders(lines, RESPONSE_LIMITS, badUpstream);
  return { status: Number(status), phrase, minorVersion: minor === "0" ? 0 : 1, headers };
}

function splitLines(bytes: Buffer): string[] {
  return bytes
    .toString("latin1")
    .replace(/^(\r\n)+/, "")
    .slice(0, -4)
    .split("\r\n");
}

function parseHeaders(lines: readonly string[], limits: HeadLimits, refuse: (reason: string) => Refusal): Header[] {
  if (lines.length > limits.headers) throw refuse(`the head has more than ${limits.headers} fields`);
  return lines.map((line) => {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    if (line.startsWith(" ") || line.startsWith("\t")) throw refuse("a header is folded over two lines");
    if (!FIELD_NAME.test(name)) throw refuse("a header name is malformed");
    const value = trimBlanks(line.slice(colon + 1));
    if (hasControls(value)) throw refuse("a header value holds control characters");
    return [name, value] as const;
  });
}

const isBlank = (character: string | undefined): boolean => character === " " || character === "\t";

/** A pattern that ends in `[ \t]+$` would look at each run of blanks once for each of its characters. */
function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (isBlank(text[start])) start += 1;
  while (end > start && isBlank(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true;
  }
  return false;
}

/** All values of a field, by lower-case name. */
export function listValues(headers: readonly Header[], name: string): string[] {
  return headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
}

/** The lower-case members of a comma separated field. */
export function listMembers(headers: readonly Header[], name: string): string[] {
  return listValues(headers, name).flatMap((value) => value.split(",").map((part) => part.trim().toLowerCase()));
}
