import type { SandboxId, TaskId, ToolCallId } from "../model/ids.ts";
import type { Isolation } from "../model/isolation.ts";
import type { NodeType } from "../model/node-type.ts";
import {
  type EgressRecord,
  type FileChange,
  NO_OUTPUT,
  type Phases,
  type RecordedError,
  type ToolCallRecord,
} from "../model/record.ts";
import type { DiffEntry } from "../sandbox/channel/messages.ts";
import type { Tool } from "../tools/tool.ts";
import type { Attempt } from "./attempt.ts";
import { round } from "./metrics.ts";
import type { PhaseClock } from "./phases.ts";

/** Everything a record is made of. The record has one shape for success and failure. */
export interface RecordParts {
  readonly callId: ToolCallId;
  readonly taskId: TaskId;
  readonly sandboxId: SandboxId | null;
  readonly nodeType: NodeType;
  readonly tool: Tool;
  readonly input: unknown;
  readonly startTime: string;
  readonly clock: PhaseClock;
  readonly attempts: readonly Attempt[];
  readonly egress: readonly EgressRecord[];
  readonly networkMs: number;
  /** Undefined when the workspace could not be examined. */
  readonly changes: { readonly changes: readonly DiffEntry[]; readonly more: number } | undefined;
  readonly isolation: Isolation | null;
  /** A failure before the first attempt (no sandbox). */
  readonly error?: RecordedError;
}

export function makeRecord(parts: RecordParts): ToolCallRecord {
  const last = parts.attempts.at(-1);
  const outcome = last?.outcome;
  const verdict = last?.verdict ?? "platform";
  const changes = parts.changes?.changes ?? [];
  const phases = roundPhases(parts.clock.phases);
  const networkMs = Math.min(round(parts.networkMs), phases.run);
  const error = last === undefined ? parts.error : last.error;
  return {
    tool_call_id: parts.callId,
    task_id: parts.taskId,
    sandbox_id: parts.sandboxId,
    node_type: parts.nodeType,
    operation: parts.tool.name,
    category: parts.tool.category,
    command: parts.tool.command(parts.input),
    start_time: parts.startTime,
    end_time: new Date().toISOString(),
    execution_time_ms: round(parts.clock.total()),
    phases_ms: phases,
    network_ms: networkMs,
    compute_ms: round(phases.run - networkMs),
    success: verdict === "ok",
    verdict,
    ...(outcome?.exitCode === undefined ? {} : { return_code: outcome.exitCode }),
    ...(outcome?.signal === undefined ? {} : { signal: outcome.signal }),
    retry_count: Math.max(0, parts.attempts.length - 1),
    attempts: parts.attempts.map((attempt) => ({
      start_time: attempt.startTime,
      duration_ms: round(attempt.durationMs),
      verdict: attempt.verdict,
      ...(attempt.error === undefined ? {} : { error: attempt.error }),
    })),
    stdout: outcome?.stdout ?? NO_OUTPUT,
    stderr: outcome?.stderr ?? NO_OUTPUT,
    ...usageFields(parts.attempts),
    request_bytes: parts.attempts.reduce((total, attempt) => total + attempt.outcome.requestBytes, 0),
    response_bytes: parts.attempts.reduce((total, attempt) => total + attempt.outcome.responseBytes, 0),
    egress: parts.egress,
    files_created: changesOf(changes, "created"),
    files_modified: changesOf(changes, "modified"),
    files_deleted: changesOf(changes, "deleted"),
    files_more: parts.changes?.more ?? 0,
    ...(parts.changes === undefined ? { files_unknown: true as const } : {}),
    dependencies_installed: outcome?.dependencies ?? [],
    attribution: parts.attempts.some((attempt) => attempt.outcome.shared) ? "shared" : "exclusive",
    sandbox_killed: outcome?.sandboxKilled ?? false,
    isolation: parts.isolation,
    ...(outcome?.memoryShared ? { memory_shared: "template" as const } : {}),
    ...(error === undefined ? {} : { error }),
  };
}

/** Cgroup deltas where the host has them; else what `wait4` reported. */
function usageFields(attempts: readonly Attempt[]): Partial<ToolCallRecord> {
  const last = attempts.at(-1);
  if (last === undefined) return {};
  const { usage } = last.outcome;
  const cpu = sumCpu(attempts);
  if (cpu !== undefined) {
    const peak = last.peakIsOwn ? last.after.memoryPeakBytes : usage?.maxRssBytes;
    return { ...cpu, ...(peak === undefined ? {} : { max_rss_bytes: peak }), source: "cgroup" };
  }
  if (usage === undefined) return {};
  return {
    cpu_user_ms: round(usage.userUs / 1000),
    cpu_system_ms: round(usage.systemUs / 1000),
    max_rss_bytes: usage.maxRssBytes,
    source: "wait4",
  };
}

/** The exact total over all attempts, split by the counters of user and system time, or as `wait4` saw it when those stood still. */
function sumCpu(attempts: readonly Attempt[]): Pick<ToolCallRecord, "cpu_user_ms" | "cpu_system_ms"> | undefined {
  if (attempts.some(({ after }) => after.cpuTotalUs === undefined)) return undefined;
  const delta = (field: "cpuTotalUs" | "cpuUserUs" | "cpuSystemUs"): number =>
    attempts.reduce((sum, { before, after }) => sum + Math.max(0, (after[field] ?? 0) - (before[field] ?? 0)), 0);
  const reported = attempts.at(-1)?.outcome.usage;
  const counted = delta("cpuUserUs") + delta("cpuSystemUs");
  const user = counted > 0 ? delta("cpuUserUs") : (reported?.userUs ?? 1);
  const system = counted > 0 ? delta("cpuSystemUs") : (reported?.systemUs ?? 0);
  const userShare = user + system > 0 ? user / (user + system) : 1;
  const totalMs = delta("cpuTotalUs") / 1000;
  return { cpu_user_ms: round(totalMs * userShare), cpu_system_ms: round(totalMs * (1 - userShare)) };
}

function changesOf(changes: readonly DiffEntry[], kind: DiffEntry["kind"]): FileChange[] {
  return changes
    .filter((change) => change.kind === kind)
    .map(({ path, type, size, sha256, files }) => ({
      path,
      type,
      size,
      ...(sha256 === null ? {} : { sha256 }),
      ...(files === null ? {} : { files }),
    }));
}

function roundPhases(phases: Phases): Phases {
  return {
    queue: round(phases.queue),
    lease: round(phases.lease),
    prepare: round(phases.prepare),
    transfer_in: round(phases.transfer_in),
    run: round(phases.run),
    transfer_out: round(phases.transfer_out),
  };
}
