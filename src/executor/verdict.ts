import type { Limits } from "../model/limits.ts";
import type { EgressRecord, RecordedError } from "../model/record.ts";
import type { Verdict } from "../model/verdict.ts";
import type { UsageSample } from "../sandbox/host.ts";
import type { ToolOutcome } from "../tools/tool.ts";

/** Everything known about how an attempt ended: what was reported, and the host's evidence, which wins. */
export interface Evidence {
  readonly outcome: ToolOutcome;
  readonly before: UsageSample;
  readonly after: UsageSample;
  readonly egress: readonly EgressRecord[];
  readonly outputExceeded: boolean;
  /** The workspace or /tmp had no free space when the call failed (reported). */
  readonly diskFull: boolean;
}

const rose = (before: number | undefined, after: number | undefined): boolean => (after ?? 0) > (before ?? 0);

/** One verdict per attempt, decided once: host evidence first, then what was reported. */
export function decideVerdict(evidence: Evidence): Verdict {
  const { outcome, before, after } = evidence;
  const succeeded = outcome.ended === "exit" && outcome.exitCode === 0;
  if (succeeded) return "ok";
  if (rose(before.oomKills, after.oomKills)) return "oom";
  if (evidence.outputExceeded) return "output";
  if (outcome.ended === "deadline") return "timeout";
  if (outcome.ended === "cancel") return "cancelled";
  if (outcome.ended === "lost") return lostVerdict(outcome);
  return guestVerdict(evidence);
}

function lostVerdict(outcome: ToolOutcome): Verdict {
  const code = outcome.error?.code;
  return code === "protocol_error" || code === "supervisor_lost" ? "platform" : "lost";
}

function guestVerdict({ outcome, before, after, egress, diskFull }: Evidence): Verdict {
  if (outcome.verdict !== undefined) return outcome.verdict;
  if (outcome.signal === "XFSZ" || diskFull) return "disk";
  if (rose(before.pidsRefused, after.pidsRefused)) return "pids";
  if (egress.some((row) => row.verdict === "denied")) return "denied";
  return "nonzero";
}

/** The failure in words, with the limit that was hit and what to change; undefined for `ok` and a plain `nonzero`. */
export function describeVerdict(
  verdict: Verdict,
  evidence: Evidence,
  limits: Limits,
  timeoutMs: number,
): RecordedError | undefined {
  const mib = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
  const make = (message: string, hint: string, retryable = false): RecordedError => ({
    code: verdict,
    message,
    hint,
    retryable,
  });
  switch (verdict) {
    case "ok":
    case "nonzero":
      return undefined;
    case "timeout":
      return make(
        `the call was ended after ${Math.round(timeoutMs)} ms`,
        "Raise --timeout (in a task: timeout_ms of the call or limits.call_timeout_ms; of a response: timeout_seconds), or split the work.",
      );
    case "oom":
      return make(
        `memory above ${mib(limits.memoryBytes)}`,
        "Raise limits.memory_bytes, or process the data in parts.",
      );
    case "pids":
      return make(`more than ${limits.pids} processes and threads`, "Raise limits.pids, or start fewer at once.");
    case "disk":
      return make(
        `no space left (workspace ${mib(limits.workspaceBytes)}, /tmp ${mib(limits.tmpBytes)})`,
        "Raise limits.workspace_bytes or limits.tmp_bytes, or remove files.",
      );
    case "output":
      return make(`output above ${limits.outputBytes} bytes`, "Raise limits.output_bytes, or write to a file.");
    case "denied": {
      const refused = evidence.outcome.error;
      if (refused !== undefined) return make(refused.message, refused.hint);
      const row = evidence.egress.find((one) => one.verdict === "denied");
      const where = row === undefined ? "a host" : `${row.host}:${row.port}`;
      return make(
        `egress to ${where} was denied: ${row?.reason ?? "not in the policy"}`,
        `Allow it with --network ${row?.host ?? "HOST"}; for an agent, name it in metadata.network when it is created.`,
      );
    }
    case "cancelled":
      return make("the call was cancelled", "The caller cancelled the work.");
    case "lost":
    case "platform": {
      const error = evidence.outcome.error;
      return error === undefined ? make("the sandbox was lost", "Run the task again.", true) : error.toJSON();
    }
  }
}
