import { createHash, randomBytes } from "node:crypto";

/** Where a span belongs. Ids are lower-case hex: 32 digits for the trace, 16 for the span. */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/**
 * Reads a W3C `traceparent` header of version 00 exactly as the recommendation writes it: 55 characters, lower-case
 * hex, no id of zeros only. Undefined for everything else: a broken header starts a new trace, it is never repaired.
 */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  const match = header === undefined ? null : TRACEPARENT.exec(header);
  const [, traceId, spanId, flags] = match ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Where the server span of a request is: below its caller's, or at the root of a trace of its own. */
export function traceRequest(header: string | undefined, requestId: string): TraceContext {
  const caller = parseTraceparent(header);
  return {
    traceId: caller?.traceId ?? deriveTraceId(requestId),
    spanId: deriveSpanId(requestId),
    sampled: caller?.sampled ?? true,
  };
}

/**
 * The `traceparent` to keep with a task that a request posts: the task's span then stands below the request's.
 *
 * @param header the request's own `traceparent`, as it came
 * @param requestId random, of our making
 */
export function continueTrace(header: string | undefined, requestId: string): string {
  const { traceId, spanId, sampled } = traceRequest(header, requestId);
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

export const makeSpanId = (): string => makeId(8);

/**
 * Ids that follow from a name. A task and its calls are reported apart and in any order; the calls name the task's span
 * as their parent all the same, because both sides compute it from the response's random id.
 */
export const deriveSpanId = (name: string): string => digest("span", name).slice(0, 16);
export const deriveTraceId = (name: string): string => digest("trace", name).slice(0, 32);

const digest = (kind: string, name: string): string => createHash("sha256").update(`${kind}:${name}`).digest("hex");

function makeId(bytes: number): string {
  const id = randomBytes(bytes);
  // An id of zeros only is invalid; the last byte makes it impossible.
  id[bytes - 1] = (id[bytes - 1] ?? 0) | 1;
  return id.toString("hex");
}
