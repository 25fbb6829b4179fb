import type { Response, Segment } from "../client/ractor/reply-schemas.ts";
import { readRecord } from "../client/ractor/server-record.ts";
import { sumMetrics } from "../executor/metrics.ts";
import type { BenchmarkSample } from "../model/benchmark.ts";
import type { ToolCallRecord } from "../model/record.ts";

/** What an ended response says of its calls. */
export type CallFacts = Pick<
  BenchmarkSample,
  | "source"
  | "tool_calls"
  | "calls_failed"
  | "attempts"
  | "retries"
  | "network_ms"
  | "compute_ms"
  | "request_bytes"
  | "response_bytes"
  | "egress_tx_bytes"
  | "egress_rx_bytes"
  | "failure"
>;

const UNMEASURED = {
  network_ms: null,
  compute_ms: null,
  request_bytes: null,
  response_bytes: null,
  egress_tx_bytes: null,
  egress_rx_bytes: null,
} as const;

export const NO_CALLS = {
  source: "none",
  tool_calls: 0,
  calls_failed: 0,
  attempts: 0,
  retries: 0,
  ...UNMEASURED,
} as const satisfies Partial<CallFacts>;

/** Tools with which a model talks to its server and does no work. */
const NO_WORK: ReadonlySet<string> = new Set("output update_plan publish_agent sleep_agent".split(" "));
const MAX_MESSAGE = 300;

/**
 * The sums over the server's own records, where a result without one is a call that was lost; without any record what
 * segments show, and null for what they do not.
 */
export function readFacts(response: Response): CallFacts {
  const results = response.segments.filter(({ type, tool }) => type === "tool_result" && !NO_WORK.has(tool ?? ""));
  const records = results.map(readRecord).filter((record): record is ToolCallRecord => !(record instanceof Error));
  const facts = records.length > 0 ? sumRecords(records, results.length - records.length) : countSegments(results);
  return { ...facts, failure: findFailure(response, records, facts.tool_calls) };
}

type Sums = Omit<CallFacts, "failure">;

function sumRecords(records: readonly ToolCallRecord[], lost: number): Sums {
  const { tool_calls, latency_ms, success, transit_bytes } = sumMetrics(records);
  return {
    source: "records",
    tool_calls: tool_calls + lost,
    calls_failed: success.failed + lost,
    attempts: success.attempts + lost,
    retries: success.retries,
    network_ms: latency_ms.network,
    compute_ms: latency_ms.compute,
    request_bytes: transit_bytes.request,
    response_bytes: transit_bytes.response,
    egress_tx_bytes: transit_bytes.egress_tx,
    egress_rx_bytes: transit_bytes.egress_rx,
  };
}

function countSegments(results: readonly Segment[]): Sums {
  if (results.length === 0) return NO_CALLS;
  const failed = results.filter(hasFailed).length;
  return {
    source: "segments",
    tool_calls: results.length,
    calls_failed: failed,
    attempts: results.length,
    retries: 0,
    ...UNMEASURED,
  };
}

/** A stock server says null for exit code 0, and "ok" for any other. */
function hasFailed(segment: Segment): boolean {
  const output = segment["output"] as { readonly status?: unknown; readonly exit_code?: unknown } | null | undefined;
  return output?.status === "error" || (typeof output?.exit_code === "number" && output.exit_code !== 0);
}

function findFailure(
  { status, error }: Response,
  records: readonly ToolCallRecord[],
  calls: number,
): CallFacts["failure"] {
  if (status === "completed") {
    if (calls > 0) return null;
    return { code: "no_tool_calls", verdict: null, message: "the server completed the task without any tool call" };
  }
  const last = records.findLast(({ success }) => !success);
  const { code = status, message = `the task ended as ${status}` } = error ?? last?.error ?? {};
  const said = last?.stderr.text.trim().split("\n").at(-1) ?? "";
  const whole = said === "" || message.includes(said) ? message : `${message}: ${said}`;
  return { code: plainWord(code), verdict: last?.verdict ?? null, message: plainText(whole) };
}

/** Codes go into tables: a foreign server's are words or nothing. */
const plainWord = (text: string): string => (/^[a-z][a-z0-9_]{0,63}$/.test(text) ? text : "unknown");

export const plainText = (text: string): string =>
  text
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, " ")
    .trim()
    .slice(0, MAX_MESSAGE);
