import { ERROR_CODES, isErrorCode } from "../errors/codes.ts";
import { VERDICTS, type Verdict } from "../model/verdict.ts";
import type { TelemetryEvent, TelemetrySeverity } from "./telemetry.ts";

/**
 * How a unit of work ended, in one word, and how loud that is. The severity follows from the outcome and from nothing
 * else.
 */
export interface Outcome {
  readonly outcome: string;
  readonly severity: TelemetrySeverity;
}

/** Verdicts that are the platform's failure; every other one is the guest's or the caller's doing. */
const PLATFORM: ReadonlySet<Verdict> = new Set<Verdict>(["platform", "lost"]);

export function judge(event: TelemetryEvent): Outcome {
  switch (event.op) {
    case "http.request":
      return judgeRequest(event.status, event.aborted);
    case "task.run":
      return { outcome: event.status, severity: event.status === "failed" ? judgeCode(event.errorCode) : "info" };
    case "call.run": {
      const { verdict, success } = event.record;
      if (PLATFORM.has(verdict)) return { outcome: verdict, severity: "error" };
      return { outcome: verdict, severity: success ? "info" : "warn" };
    }
    case "agent.change":
    case "server.change":
      return event.errorCode === undefined
        ? { outcome: "ok", severity: "info" }
        : { outcome: "failed", severity: judgeCode(event.errorCode) };
  }
}

function judgeRequest(status: number, aborted: boolean): Outcome {
  if (status >= 500) return { outcome: "server_error", severity: "error" };
  if (aborted) return { outcome: "aborted", severity: "warn" };
  return status >= 400 ? { outcome: "client_error", severity: "warn" } : { outcome: "ok", severity: "info" };
}

/**
 * A failure by its code, which is a verdict when a call ended the task. Codes that the table answers with 5xx are ours;
 * running out of time is not.
 */
function judgeCode(code: string | undefined): TelemetrySeverity {
  if (code === undefined) return "warn";
  const verdict = VERDICTS.find((one) => one === code);
  if (verdict !== undefined) return PLATFORM.has(verdict) ? "error" : "warn";
  return isErrorCode(code) && ERROR_CODES[code].httpStatus < 500 ? "warn" : "error";
}
