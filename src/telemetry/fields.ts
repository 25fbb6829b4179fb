import type { ToolCallRecord } from "../model/record.ts";
import { judge } from "./outcome.ts";
import type { Fields } from "./redact.ts";
import type { TelemetryEvent } from "./telemetry.ts";
import { parseTraceparent, traceRequest } from "./traceparent.ts";

/**
 * One event as the fields of its log line, named one by one: what is not named here is not written. Of a call's record
 * that is never its command, output, paths, hosts or error text, for those are the task's content.
 */
export function describeEvent(event: TelemetryEvent): Fields {
  return {
    op: event.op,
    outcome: judge(event).outcome,
    start: new Date(event.startedAt).toISOString(),
    duration_ms: round(event.durationMs),
    error_code: event.errorCode,
    ...describeOp(event),
  };
}

function describeOp(event: TelemetryEvent): Fields {
  switch (event.op) {
    case "http.request":
      return {
        request_id: event.requestId,
        method: event.method,
        route: event.route,
        status: event.status,
        request_bytes: event.requestBytes,
        response_bytes: event.responseBytes,
        aborted: event.aborted,
        principal: event.principal,
        trace_id: traceRequest(event.traceparent, event.requestId).traceId,
      };
    case "task.run":
      return {
        response_id: event.responseId,
        task_id: event.taskId,
        agent: event.agent,
        node_type: event.nodeType,
        principal: event.principal,
        status: event.status,
        attempt: event.attempt,
        calls: event.calls,
        phases_ms: roundAll(event.phasesMs),
        trace_id: parseTraceparent(event.traceparent)?.traceId,
      };
    case "call.run":
      return {
        response_id: event.responseId,
        agent: event.agent,
        principal: event.principal,
        ...describeRecord(event.record),
        trace_id: parseTraceparent(event.traceparent)?.traceId,
      };
    case "agent.change":
      return {
        agent: event.agent,
        from: event.from,
        to: event.to,
        reason: event.reason,
        principal: event.principal,
      };
    case "server.change":
      return { phase: event.phase, detail: event.detail };
  }
}

function describeRecord(record: ToolCallRecord): Fields {
  return {
    task_id: record.task_id,
    tool_call_id: record.tool_call_id,
    sandbox_id: record.sandbox_id ?? undefined,
    node_type: record.node_type,
    operation: record.operation,
    category: record.category,
    verdict: record.verdict,
    success: record.success,
    return_code: record.return_code,
    signal: record.signal,
    retry_count: record.retry_count,
    phases_ms: roundAll({ ...record.phases_ms }),
    network_ms: round(record.network_ms),
    compute_ms: round(record.compute_ms),
    cpu_user_ms: record.cpu_user_ms,
    cpu_system_ms: record.cpu_system_ms,
    max_rss_bytes: record.max_rss_bytes,
    request_bytes: record.request_bytes,
    response_bytes: record.response_bytes,
    stdout_bytes: record.stdout.total_bytes,
    stderr_bytes: record.stderr.total_bytes,
    egress_connections: record.egress.reduce((sum, { connections }) => sum + connections, 0),
    files_changed:
      record.files_created.length + record.files_modified.length + record.files_deleted.length + record.files_more,
    sandbox_killed: record.sandbox_killed,
    error_code: record.error?.code,
  };
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;

function roundAll(phases: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(phases).map(([name, ms]) => [name, round(ms)]));
}
