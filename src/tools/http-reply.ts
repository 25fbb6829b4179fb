import { isDeepStrictEqual } from "node:util";
import { parseUntrustedJson } from "../lib/json.ts";
import { NO_OUTPUT } from "../model/record.ts";
import { textOutput } from "./outcome.ts";
import type { ToolContext, ToolOutcome } from "./tool.ts";

/** An answer that came, from upstream or from a server inside. Untrusted. */
export interface HttpReply {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly encoding: "utf8" | "base64";
  readonly bytes: number;
  readonly truncated: boolean;
}

/** What a caller says an answer must be. */
export interface Expectation {
  readonly status?: number | undefined;
  readonly json?: Readonly<Record<string, unknown>> | undefined;
  readonly has?: readonly string[] | undefined;
}

export interface ReplyFacts {
  readonly url: string;
  readonly redirects: number;
  readonly requestBytes: number;
}

/** curl's exit codes, as the client inside uses them. */
const HTTP_EXIT = 22;
const UNEXPECTED_EXIT = 1;

/** A reply as outcome: its exit code says whether it is what was expected, else whether its status is below 400. */
export function replyOutcome(
  reply: HttpReply,
  expectation: Expectation | undefined,
  facts: ReplyFacts,
  context: ToolContext,
): ToolOutcome {
  const { status, reason, body, encoding, truncated, bytes } = reply;
  const { url, redirects, requestBytes } = facts;
  const problem = findProblem(reply, expectation);
  return {
    ended: "exit",
    exitCode: problem === undefined ? 0 : status >= 400 ? HTTP_EXIT : UNEXPECTED_EXIT,
    stdout: encoding === "utf8" ? textOutput(body, context.limits.outputBytes) : NO_OUTPUT,
    stderr: problem === undefined ? NO_OUTPUT : textOutput(`${problem}\n`, 4096),
    requestBytes,
    responseBytes: bytes,
    value: { status, reason, headers: joinHeaders(reply.headers), body, encoding, truncated, url, redirects },
    ...(problem === undefined ? {} : { retryable: isRetryableStatus(status) }),
  };
}

export function isRetryableStatus(status: number): boolean {
  return status >= 500 || status === 429;
}

function findProblem(reply: HttpReply, expectation: Expectation | undefined): string | undefined {
  const { status, body } = reply;
  if (expectation?.status === undefined ? status >= 400 : status !== expectation.status) {
    const expected = expectation?.status === undefined ? "" : `, expected ${expectation.status}`;
    return `the server answered ${status}${expected}`;
  }
  return expectation?.json === undefined && expectation?.has === undefined
    ? undefined
    : findWrongMember(body, expectation);
}

function findWrongMember(body: string, { json = {}, has = [] }: Expectation): string | undefined {
  const members = parseObject(body);
  if (members === undefined) return "the answer is no JSON object";
  const absent = has.find((name) => !Object.hasOwn(members, name));
  if (absent !== undefined) return `the answer has no member ${absent}`;
  for (const [name, wanted] of Object.entries(json)) {
    const found = members[name];
    if (!isDeepStrictEqual(normalize(found), normalize(wanted))) {
      return `member ${name} of the answer is ${show(found)}, expected ${show(wanted)}`;
    }
  }
  return undefined;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = parseUntrustedJson(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Without prototypes, which differ between parsed and given JSON. */
function normalize(value: unknown): unknown {
  return value === undefined ? undefined : parseUntrustedJson(JSON.stringify(value));
}

function show(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 200);
}

/** Name to value; several of one name are joined as HTTP says, cookies by line. */
function joinHeaders(pairs: HttpReply["headers"]): Readonly<Record<string, string>> {
  const joined: Record<string, string> = Object.create(null);
  for (const [name, value] of pairs) {
    const before = joined[name];
    joined[name] = before === undefined ? value : `${before}${name === "set-cookie" ? "\n" : ", "}${value}`;
  }
  return joined;
}
