import { SpanKind } from "@opentelemetry/api";
import type { ToolCallRecord } from "../../model/record.ts";
import { judge } from "../outcome.ts";
import type { TelemetryEvent } from "../telemetry.ts";
import { deriveSpanId, deriveTraceId, makeSpanId, parseTraceparent, traceRequest } from "../traceparent.ts";

/** A span that has ended, before any package of OpenTelemetry has seen it. Times are milliseconds since 1970. */
export interface EndedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startMs: number;
  readonly durationMs: number;
  readonly attributes: Attributes;
  /** The code of the failure, for spans that are errors of the platform or ended badly. */
  readonly failure: string | undefined;
}

type Attributes = Readonly<Record<string, string | number>>;
type Root = Omit<EndedSpan, "traceId" | "spanId" | "parentSpanId">;

/**
 * The spans of one event, its own first. Empty for events that are no unit of work with a duration of interest, and
 * when the caller's `traceparent` says that its trace is not sampled.
 */
export function buildSpans(event: TelemetryEvent): readonly EndedSpan[] {
  switch (event.op) {
    case "http.request":
      return buildRequest(event);
    case "task.run":
      return buildTask(event);
    case "call.run":
      return buildCall(event);
    case "agent.change":
    case "server.change":
      return [];
  }
}

type Of<Op extends TelemetryEvent["op"]> = Extract<TelemetryEvent, { op: Op }>;

function buildRequest(event: Of<"http.request">): readonly EndedSpan[] {
  const { traceId, spanId, sampled } = traceRequest(event.traceparent, event.requestId);
  if (!sampled) return [];
  return [
    {
      traceId,
      spanId,
      parentSpanId: parseTraceparent(event.traceparent)?.spanId,
      name: `${event.method} ${event.route}`,
      kind: SpanKind.SERVER,
      startMs: event.startedAt,
      durationMs: event.durationMs,
      attributes: {
        "http.request.method": event.method,
        "http.route": event.route,
        "http.response.status_code": event.status,
        "http.request.body.size": event.requestBytes,
        "http.response.body.size": event.responseBytes,
        "paddock.request.id": event.requestId,
        ...(event.principal === undefined ? {} : { "user.name": event.principal }),
        ...(event.errorCode === undefined ? {} : { "error.type": event.errorCode }),
      },
      // By the conventions a server's span is an error for 5xx only: 4xx is the client's.
      failure: event.status >= 500 ? (event.errorCode ?? String(event.status)) : undefined,
    },
  ];
}

function buildTask(event: Of<"task.run">): readonly EndedSpan[] {
  const caller = parseTraceparent(event.traceparent);
  if (caller?.sampled === false) return [];
  const root: Root = {
    name: "task.run",
    kind: SpanKind.INTERNAL,
    startMs: event.startedAt,
    durationMs: event.durationMs,
    attributes: {
      "paddock.response.id": event.responseId,
      "paddock.task.id": event.taskId,
      "paddock.agent.name": event.agent,
      "paddock.node_type": event.nodeType,
      "paddock.task.status": event.status,
      "paddock.task.attempt": event.attempt,
      "paddock.task.calls": event.calls,
      "user.name": event.principal,
      ...(event.errorCode === undefined ? {} : { "error.type": event.errorCode }),
    },
    failure: event.status === "failed" ? (event.errorCode ?? "failed") : undefined,
  };
  return withPhases(
    {
      ...root,
      traceId: caller?.traceId ?? deriveTraceId(event.responseId),
      spanId: deriveSpanId(event.responseId),
      parentSpanId: caller?.spanId,
    },
    event.phasesMs,
  );
}

function buildCall(event: Of<"call.run">): readonly EndedSpan[] {
  const caller = parseTraceparent(event.traceparent);
  if (caller?.sampled === false) return [];
  const { record } = event;
  const { outcome } = judge(event);
  return withPhases(
    {
      traceId: caller?.traceId ?? deriveTraceId(event.responseId),
      spanId: deriveSpanId(record.tool_call_id),
      parentSpanId: deriveSpanId(event.responseId),
      name: `call.run ${record.operation}`,
      kind: SpanKind.INTERNAL,
      startMs: event.startedAt,
      durationMs: event.durationMs,
      attributes: describeRecord(event, record),
      failure: record.success ? undefined : (record.error?.code ?? outcome),
    },
    { ...record.phases_ms },
  );
}

function describeRecord(event: Of<"call.run">, record: ToolCallRecord): Attributes {
  return {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": record.operation,
    "gen_ai.tool.call.id": record.tool_call_id,
    "paddock.response.id": event.responseId,
    "paddock.task.id": record.task_id,
    "paddock.agent.name": event.agent,
    "paddock.node_type": record.node_type,
    "paddock.call.verdict": record.verdict,
    "paddock.call.retry_count": record.retry_count,
    "paddock.call.network_ms": record.network_ms,
    "paddock.call.compute_ms": record.compute_ms,
    "paddock.call.request_bytes": record.request_bytes,
    "paddock.call.response_bytes": record.response_bytes,
    "user.name": event.principal,
    ...(record.sandbox_id === null ? {} : { "paddock.sandbox.id": record.sandbox_id }),
    ...(record.return_code === undefined ? {} : { "process.exit.code": record.return_code }),
    ...(record.success ? {} : { "error.type": record.error?.code ?? record.verdict }),
  };
}

/**
 * A child per phase that took time, one after the other from the parent's start: phases are told in the order they
 * happen.
 */
function withPhases(parent: EndedSpan, phasesMs: Readonly<Record<string, number>>): readonly EndedSpan[] {
  const spans = [parent];
  let startMs = parent.startMs;
  for (const [phase, durationMs] of Object.entries(phasesMs)) {
    if (!(durationMs > 0)) continue;
    spans.push({
      traceId: parent.traceId,
      spanId: makeSpanId(),
      parentSpanId: parent.spanId,
      name: phase,
      kind: SpanKind.INTERNAL,
      startMs,
      durationMs,
      attributes: { "paddock.phase": phase },
      failure: undefined,
    });
    startMs += durationMs;
  }
  return spans;
}
