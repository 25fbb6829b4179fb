import type { ToolCallRecord } from "../model/record.ts";
import type { ResponseStatus } from "../model/response.ts";

/** A W3C trace context header of 55 characters; undefined where the request had none that is valid. */
export type Traceparent = string | undefined;

interface Timed {
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Code of the error table; absent when all went well. */
  readonly errorCode?: string;
}

/**
 * One unit of work that has ended: one wide event, one log line, one observation per metric, one span with its phases.
 */
export type TelemetryEvent =
  | (Timed & {
      readonly op: "http.request";
      readonly requestId: string;
      readonly method: string;
      /** The route's pattern, never the raw path; one fixed word where none matched. */
      readonly route: string;
      readonly status: number;
      readonly requestBytes: number;
      readonly responseBytes: number;
      readonly principal?: string;
      readonly traceparent?: Traceparent;
      /** The connection was closed before the answer was complete. */
      readonly aborted: boolean;
    })
  /** From the POST to the terminal state, its time in the queue included; told once per response. */
  | (Timed & {
      readonly op: "task.run";
      readonly responseId: string;
      readonly taskId: string;
      readonly agent: string;
      readonly nodeType: string;
      readonly principal: string;
      readonly status: ResponseStatus;
      readonly attempt: number;
      readonly calls: number;
      /** `queue`: from the POST to the claim. `sandbox`: making one. `setup`, `run`. Milliseconds, in order. */
      readonly phasesMs: Readonly<Record<string, number>>;
      readonly traceparent?: Traceparent;
    })
  | (Timed & {
      readonly op: "call.run";
      readonly responseId: string;
      readonly agent: string;
      readonly principal: string;
      readonly record: ToolCallRecord;
      readonly traceparent?: Traceparent;
    })
  | (Timed & {
      readonly op: "agent.change";
      readonly agent: string;
      readonly from: string;
      readonly to: string;
      readonly reason: string;
      readonly principal?: string;
    })
  | (Timed & { readonly op: "server.change"; readonly phase: string; readonly detail?: string });

export type TelemetrySeverity = "info" | "warn" | "error";

/**
 * Where ended work is reported. Throws nothing, waits for nobody, and never sees the contents of tasks, environments or
 * tokens.
 */
export interface Telemetry {
  record(event: TelemetryEvent): void;
  /** A failure that no unit of work carries: a timer's, a sweep's. */
  problem(where: string, error: unknown): void;
}
