import { once } from "node:events";
import { PassThrough } from "node:stream";
import { makeSandboxId, makeTaskId, makeToolCallId } from "../../src/model/ids.ts";
import type { ToolCallRecord } from "../../src/model/record.ts";
import { createTelemetry, type TelemetryHandle, type TelemetryOptions } from "../../src/telemetry/create.ts";
import type { TelemetryEvent } from "../../src/telemetry/telemetry.ts";

export type EventOf<Op extends TelemetryEvent["op"]> = Extract<TelemetryEvent, { op: Op }>;

/** 2026-01-02T03:04:05.678Z, so that nothing rounds. */
export const STARTED_AT = 1_767_323_045_678;

export function makeRequest(change: Partial<EventOf<"http.request">> = {}): EventOf<"http.request"> {
  return {
    op: "http.request",
    startedAt: STARTED_AT,
    durationMs: 12.5,
    requestId: "req-1",
    method: "GET",
    route: "/api/v0/agents/:name",
    status: 200,
    requestBytes: 0,
    responseBytes: 321,
    principal: "alice",
    aborted: false,
    ...change,
  };
}

export function makeTask(change: Partial<EventOf<"task.run">> = {}): EventOf<"task.run"> {
  return {
    op: "task.run",
    startedAt: STARTED_AT,
    durationMs: 100,
    responseId: "0b29d4b2-52f0-4a0e-9d0a-3f8d2a6c1b11",
    taskId: makeTaskId(),
    agent: "worker-1",
    nodeType: "python",
    principal: "alice",
    status: "completed",
    attempt: 1,
    calls: 2,
    phasesMs: { queue: 10, sandbox: 30, setup: 0, run: 60 },
    ...change,
  };
}

export function makeCall(
  change: Partial<EventOf<"call.run">> = {},
  record: Partial<ToolCallRecord> = {},
): EventOf<"call.run"> {
  return {
    op: "call.run",
    startedAt: STARTED_AT + 40,
    durationMs: 25,
    responseId: "0b29d4b2-52f0-4a0e-9d0a-3f8d2a6c1b11",
    agent: "worker-1",
    principal: "alice",
    record: makeRecord(record),
    ...change,
  };
}

export function makeRecord(change: Partial<ToolCallRecord> = {}): ToolCallRecord {
  const output = { text: "", total_bytes: 0, dropped_bytes: 0 };
  return {
    tool_call_id: makeToolCallId(),
    task_id: makeTaskId(),
    sandbox_id: makeSandboxId(),
    node_type: "python",
    operation: "run_python",
    category: "subprocess",
    command: ["python3", "-"],
    start_time: new Date(STARTED_AT + 40).toISOString(),
    end_time: new Date(STARTED_AT + 65).toISOString(),
    execution_time_ms: 25,
    phases_ms: { queue: 0, lease: 0, prepare: 2, transfer_in: 1, run: 20, transfer_out: 2 },
    network_ms: 5,
    compute_ms: 15,
    success: true,
    verdict: "ok",
    return_code: 0,
    retry_count: 0,
    attempts: [],
    stdout: { ...output, total_bytes: 7 },
    stderr: output,
    request_bytes: 1000,
    response_bytes: 2000,
    egress: [],
    files_created: [],
    files_modified: [],
    files_deleted: [],
    files_more: 0,
    dependencies_installed: [],
    attribution: "exclusive",
    sandbox_killed: false,
    isolation: null,
    ...change,
  };
}

export interface LogLine {
  readonly level: string;
  readonly op: string;
  readonly [field: string]: unknown;
}

/**
 * Telemetry whose log goes into memory. `lines()` is what stands there now; `next(op)` waits for a line that is yet to
 * come.
 */
export interface Observed extends AsyncDisposable {
  readonly telemetry: TelemetryHandle;
  text(): string;
  lines(): LogLine[];
  next(op: string): Promise<LogLine>;
}

export async function observe(change: Partial<TelemetryOptions> = {}): Promise<Observed> {
  const stream = new PassThrough({ encoding: "utf8" });
  let text = "";
  stream.on("data", (chunk: string) => {
    text += chunk;
  });
  const telemetry = await createTelemetry({
    logLevel: "info",
    otlpEndpoint: undefined,
    version: "1.2.3",
    nodeId: "node-1",
    secrets: [],
    gauges: async () => ({ agents: {}, pending: 0, processing: 0, sandboxes: 0 }),
    logTo: stream,
    ...change,
  });
  const lines = (): LogLine[] =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as LogLine);
  return {
    telemetry,
    text: () => text,
    lines,
    next: async (op) => {
      const seen = lines().length;
      for (;;) {
        const found = lines()
          .slice(seen)
          .find((line) => line.op === op);
        if (found !== undefined) return found;
        await once(stream, "data");
      }
    },
    [Symbol.asyncDispose]: async () => await telemetry[Symbol.asyncDispose](),
  };
}
