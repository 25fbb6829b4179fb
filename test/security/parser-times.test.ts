import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { readWork } from "../../src/agents/run/compile-input.ts";
import { printable } from "../../src/cli/render/escape.ts";
import { showCommands } from "../../src/cli/render/guest-output.ts";
import { describeBody } from "../../src/client/ractor/reply-schemas.ts";
import { FrameCutter } from "../../src/drivers/docker/engine/demux.ts";
import { planTask } from "../../src/executor/planner.ts";
import { BoundedOutput } from "../../src/lib/bounded-output.ts";
import { fence } from "../../src/lib/bounded-text.ts";
import { tryJson } from "../../src/lib/json.ts";
import { parseStrictJson } from "../../src/lib/strict-json.ts";
import { parseAuthority } from "../../src/network/address/authority.ts";
import { ByteReader } from "../../src/network/http/byte-reader.ts";
import { ChunkedDecoder } from "../../src/network/http/chunked-body.ts";
import { readHead } from "../../src/network/http/http-body.ts";
import { parseRequestHead, parseResponseHead } from "../../src/network/http/http-head.ts";
import { interpretRequest } from "../../src/network/http/http-request.ts";
import { listPipFileUrls } from "../../src/network/policy/index-hosts.ts";
import { parsePolicy } from "../../src/network/policy/policy.ts";
import { ServerNameReader } from "../../src/network/proxy/client-hello.ts";
import type { CallSinks } from "../../src/sandbox/call.ts";
import { encodeHeader, FRAME, FrameParser } from "../../src/sandbox/channel/frames.ts";
import { SandboxFiles } from "../../src/sandbox/files.ts";
import type { Request } from "../../src/sandbox/request.ts";
import { assertKey } from "../../src/store/artifacts/key.ts";
import { compileRedact } from "../../src/telemetry/redact.ts";
import { CsvCollector } from "../../src/tools/csv.ts";
import { isPipSpec } from "../../src/tools/package-spec.ts";
import { redactSignature } from "../../src/tools/s3-object.ts";
import { type Growing, MOST_PER_DOUBLING, measureGrowth } from "../support/growth.ts";

/*
 * Every parser of text from outside runs on the one thread that serves everybody. Its work grows with its input and no
 * faster, whatever the input is: each case is the worst one found for its parser, up to the bound that the parser
 * stands behind.
 */

const KIB = 1024;

const fill = (unit: string, length: number): string =>
  unit.repeat(Math.ceil(length / unit.length)).slice(0, Math.max(1, length));

/** A refusal is an answer, too. */
const attempt = (run: () => unknown) => (): unknown => {
  try {
    return run();
  } catch {
    return undefined;
  }
};

const text = (title: string, most: number, make: (length: number) => string, parse: (input: string) => unknown) => ({
  title,
  most,
  prepare: (length: number) => {
    const input = make(length);
    return attempt(() => parse(input));
  },
});

const plan = (title: string, unit: string, before = "", after = ""): Growing =>
  text(
    `description of ${title}`,
    256 * KIB,
    (length) => before + fill(unit, length) + after,
    (description) => planTask({ description }),
  );

/** The same bytes in pieces of one: what a parser does for each piece shows. */
const pieces = (input: string): Buffer[] => Array.from(Buffer.from(input, "latin1"), (byte) => Buffer.of(byte));

const bytewise = (
  title: string,
  most: number,
  make: (length: number) => string,
  parse: (input: readonly Buffer[]) => unknown,
): Growing => ({
  title: `${title}, byte by byte`,
  most,
  prepare: (length) => {
    const input = pieces(make(length));
    return () => parse(input);
  },
});

const DESCRIPTIONS: readonly Growing[] = [
  plan("fences", "```\n"),
  plan("closed blocks", "```\nx\n```\n"),
  plan("blocks of tildes", "~~~ json\nx\n~~~\n"),
  plan("a run of tildes and a backtick", "~", "", "`"),
  plan("a run of backticks", "`"),
  plan("a fence and blanks", " ", "```", "`"),
  plan("an address and brackets", ")", "https://example.com/"),
  plan("an address and open brackets", "().", "https://example.com/("),
  plan("addresses", "http://a/ "),
  plan("short sentences", "a. "),
  plan("short requests", "get csv.\n"),
  plan("negated words", "not a a a get install create add average top by "),
  plan("empty lines", "\n", "", "x"),
  plan("list marks", "\n1."),
  plan("blanks", " ", "", "x"),
  plan("a long word", "a", "download csv "),
  plan("a group after blanks", " ", "csv average by ", "!"),
  plan("a file after many articles", "the ", "csv average by x from "),
  plan("a file of dots", "a.", "csv average by x from "),
  text(
    "description of everything",
    64 * KIB,
    (n) => `${fill("do not install pandas by the data per top ", n)}${fill("x", n)} ${fill("(", n)}`,
    (description) => planTask({ description }),
  ),
  plan("a route", "/a", "add post route "),
];

const readWhole = (chunks: readonly Buffer[]): Promise<unknown> =>
  readHead(new ByteReader(Readable.from(chunks)), 128 * KIB, () => undefined);

const HTTP: readonly Growing[] = [
  text(
    "request head, blanks in a value",
    16 * KIB,
    (n) => `GET / HTTP/1.1\r\nA: a${fill(" ", n)}b\r\n\r\n`,
    (head) => parseRequestHead(Buffer.from(head)),
  ),
  text(
    "response head, blanks in a value",
    64 * KIB,
    (n) => `HTTP/1.1 200 OK\r\nA: a${fill("\t ", n)}b\r\n\r\n`,
    (head) => parseResponseHead(Buffer.from(head)),
  ),
  text(
    "response head, empty lines before it",
    64 * KIB,
    (n) => `${fill("\r\n", n)}HTTP/1.1 200 OK\r\n\r\n`,
    (head) => parseResponseHead(Buffer.from(head)),
  ),
  text(
    "request, its target",
    16 * KIB,
    (n) => `GET http://${fill("a.", n)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    (head) => interpretRequest(parseRequestHead(Buffer.from(head))),
  ),
  text(
    "members of a header",
    16 * KIB,
    (n) => `GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: ${fill("a, ", n)}\r\n\r\n`,
    (head) => interpretRequest(parseRequestHead(Buffer.from(head))),
  ),
  bytewise("head", 16 * KIB, (n) => `GET ${fill("/", n)} HTTP/1.1\r\n\r\n`, readWhole),
  bytewise("head, empty lines before it", 16 * KIB, (n) => `${fill("\r\n", n)}GET / HTTP/1.1\r\n\r\n`, readWhole),
  bytewise(
    "chunked body",
    16 * KIB,
    (n) => fill("1\r\na\r\n", Math.floor(n / 6) * 6),
    (chunks) => {
      const decoder = new ChunkedDecoder();
      for (const chunk of chunks) decoder.push(chunk);
    },
  ),
  text(
    "chunk extensions",
    64 * KIB,
    (n) => fill(`1;${" ".repeat(200)}\r\na\r\n`, n),
    (body) => new ChunkedDecoder().push(Buffer.from(body)),
  ),
  bytewise(
    "client hello",
    16 * KIB,
    (n) => `\u0016\u0003\u0001${String.fromCharCode(n >> 8, n & 255)}\u0001\u0000\u003f\u00ff${fill("\u0000", n)}`,
    (chunks) => {
      const reader = new ServerNameReader();
      for (const chunk of chunks) reader.push(chunk);
    },
  ),
];

const NAMES: readonly Growing[] = [
  text("policy of many entries", 64 * KIB, (n) => fill("a.example.com,", n), parsePolicy),
  text("policy of commas", 64 * KIB, (n) => fill(",", n), parsePolicy),
  text("policy of one long entry", 64 * KIB, (n) => `*.${fill("a.", n)}`, parsePolicy),
  text("authority in brackets", 64 * KIB, (n) => fill("[", n), parseAuthority),
  text("authority of digits", 64 * KIB, (n) => fill("1.", n), parseAuthority),
  text("package of versions", 64 * KIB, (n) => fill("a==1,", n), isPipSpec),
  text("artifact key", 64 * KIB, (n) => fill("a/", n), assertKey),
  {
    title: "links of a package index",
    most: 256 * KIB,
    prepare: (length) => {
      const page = fill("<a href ", length);
      return () =>
        listPipFileUrls("http://index/", async (url) => ({ url, contentType: "text/html", text: page, visited: [] }));
    },
  },
];

const JSON_AND_TABLES: readonly Growing[] = [
  text("JSON, backslashes", 1024 * KIB, (n) => `"${fill("\\", n)}"`, parseStrictJson),
  text("JSON, quotes in a text", 1024 * KIB, (n) => `"${fill('\\"', Math.floor(n / 2) * 2)}"`, parseStrictJson),
  text("JSON, values", 128 * KIB, (n) => `[${fill("1,", Math.floor(n / 2) * 2)}1]`, parseStrictJson),
  text(
    "JSON, keys",
    64 * KIB,
    (n) => `{${Array.from({ length: n / 8 }, (_, i) => `"${i}":1`).join()}}`,
    parseStrictJson,
  ),
  text("JSON, levels", 64 * KIB, (n) => fill("[", n), parseStrictJson),
  text("JSON of a guest, levels", 64 * KIB, (n) => "[".repeat(n / 64) + "]".repeat(n / 64), tryJson),
  text(
    "items of an input",
    64 * KIB,
    (n) => fill("x", n / 64),
    (input) =>
      readWork(
        { content: Array.from(input, () => ({ type: "nothing" })) },
        { nodeType: "python", limits: {}, env: {}, network: undefined, bare: undefined, setup: "", instructions: "" },
      ),
  ),
  ...['"', ",", "a\n", '""', '"a'].map(
    (unit): Growing => ({
      title: `CSV of ${JSON.stringify(unit)}`,
      most: 256 * KIB,
      prepare: (length) => {
        const chunk = Buffer.from(fill(unit, length));
        return async () => {
          const collector = new CsvCollector({ limit: 1_000_000 });
          await collector.push(chunk);
          await collector.finish().catch(() => undefined);
        };
      },
    }),
  ),
];

/** Feeds a listing to the part of a sandbox's handle that reads it. */
function readListing(chunks: readonly Buffer[]): Promise<unknown> {
  const request = async (_op: object, _schema: unknown, sinks: CallSinks) => {
    for (const chunk of chunks) await sinks.data?.(chunk);
    return { done: Promise.resolve({}), bytes: {} };
  };
  return new SandboxFiles(request as unknown as Request).list(".").catch(() => undefined);
}

const GUEST_BYTES: readonly Growing[] = [
  bytewise(
    "frame",
    16 * KIB,
    (n) => encodeHeader(FRAME.data, n).toString("latin1") + fill("x", n),
    (chunks) => {
      const parser = new FrameParser();
      for (const chunk of chunks) {
        parser.push(chunk);
        while (parser.next() !== undefined);
      }
    },
  ),
  text(
    "empty frames",
    256 * KIB,
    (n) => fill(encodeHeader(FRAME.data, 0).toString("latin1"), n),
    (input) => {
      const parser = new FrameParser();
      parser.push(Buffer.from(input, "latin1"));
      while (parser.next() !== undefined);
    },
  ),
  bytewise(
    "multiplexed output",
    16 * KIB,
    (n) => fill("\u0001\u0000\u0000\u0000\u0000\u0000\u0000\u0001x", n),
    (chunks) => {
      const cutter = new FrameCutter(() => undefined);
      for (const chunk of chunks) cutter.push(chunk);
    },
  ),
  bytewise("line of a listing", 16 * KIB, (n) => `"${fill("x", n)}"\n`, readListing),
  bytewise(
    "output that is kept",
    16 * KIB,
    (n) => fill("x", n),
    (chunks) => {
      const output = new BoundedOutput(64 * KIB);
      for (const chunk of chunks) output.push(chunk);
      output.text();
    },
  ),
];

const redact = compileRedact(["a secret of the host"]);

const SHOWN: readonly Growing[] = [
  text(
    "log line, a long word",
    64 * KIB,
    (n) => `${fill("x", n)} `,
    (message) => redact({ message }),
  ),
  text(
    "log line, schemes",
    64 * KIB,
    (n) => fill("bearer ://", n),
    (message) => redact({ message }),
  ),
  text(
    "log line, active characters",
    64 * KIB,
    (n) => fill("\u202e", n),
    (message) => redact({ message }),
  ),
  text("reason of a transfer", 64 * KIB, (n) => fill("X-Amz-", n), redactSignature),
  text(
    "page of a gateway, open tags",
    64 * KIB,
    (n) => `<html>${fill("<", n)}`,
    (body) => describeBody({ status: 502, headers: {}, contentType: "text/html", bytes: Buffer.from(body) } as never),
  ),
  text(
    "page of a gateway, titles",
    64 * KIB,
    (n) => `<html>${fill("<title", n)}`,
    (body) => describeBody({ status: 502, headers: {}, contentType: "text/html", bytes: Buffer.from(body) } as never),
  ),
  text("block of backticks", 256 * KIB, (n) => fill("```", n), fence),
  text("output for a terminal", 256 * KIB, (n) => fill("\u001b[", n), showCommands),
  text("name in a table", 256 * KIB, (n) => fill("\u0007", n), printable),
];

const CASES = [...DESCRIPTIONS, ...HTTP, ...NAMES, ...JSON_AND_TABLES, ...GUEST_BYTES, ...SHOWN];

test.each(CASES)("parser times - $title: twice the input takes about twice the time", async (growing) => {
  expect(await measureGrowth(growing)).toBeLessThan(MOST_PER_DOUBLING);
});

test("parser times - what is quadratic is found", async () => {
  const quadratic = text(
    "blanks",
    8 * KIB,
    (n) => `a${fill(" ", n)}b`,
    (input) => /[ ]+$/.exec(input),
  );
  expect(await measureGrowth(quadratic)).toBeGreaterThan(MOST_PER_DOUBLING);
});
