import { type FileChange, NO_OUTPUT, type Phases, type ToolCallRecord } from "../model/record.ts";
import type { DiffEntry } from "../sandbox/channel/messages.ts";
import type { Attempt } from "./attempt.ts";
import { round } from "./metrics.ts";
import type { PlaceFacts } from "./place.ts";
import type { CallScope } from "./scope.ts";

/** A call's record: one shape for success and failure. */
export function makeRecord(
  scope: CallScope,
  attempts: readonly Attempt[],
  { sandboxId, isolation, egress, networkMs, changes, measured }: PlaceFacts,
): ToolCallRecord {
  const last = attempts.at(-1);
  const outcome = last?.outcome;
  const verdict = last?.verdict ?? "platform";
  const entries = changes?.changes ?? [];
  const phases = roundPhases(scope.clock.phases);
  const network = Math.min(round(networkMs), phases.run);
  return {
    tool_call_id: scope.callId,
    task_id: scope.taskId,
    sandbox_id: sandboxId,
    node_type: scope.nodeType,
    operation: scope.tool.name,
    category: scope.tool.category,
    command: scope.tool.command(scope.call.input),
    start_time: scope.startTime,
    end_time: new Date().toISOString(),
    execution_time_ms: round(scope.clock.total()),
    phases_ms: phases,
    network_ms: network,
    compute_ms: round(phases.run - network),
    success: verdict === "ok",
    verdict,
    ...(outcome?.exitCode === undefined ? {} : { return_code: outcome.exitCode }),
    ...(outcome?.signal === undefined ? {} : { signal: outcome.signal }),
    retry_count: Math.max(0, attempts.length - 1),
    attempts: attempts.map((attempt) => ({
      start_time: attempt.startTime,
      duration_ms: round(attempt.durationMs),
      verdict: attempt.verdict,
      ...(attempt.error === undefined ? {} : { error: attempt.error }),
    })),
    stdout: outcome?.stdout ?? NO_OUTPUT,
    stderr: outcome?.stderr ?? NO_OUTPUT,
    ...usageFields(attempts),
    request_bytes: attempts.reduce((total, attempt) => total + attempt.outcome.requestBytes, 0),
    response_bytes: attempts.reduce((total, attempt) => total + attempt.outcome.responseBytes, 0),
    egress,
    files_created: changesOf(entries, "created"),
    files_modified: changesOf(entries, "modified"),
    files_deleted: changesOf(entries, "deleted"),
    files_more: changes?.more ?? 0,
    ...(changes === undefined ? { files_unknown: true as const } : {}),
    dependencies_installed: outcome?.dependencies ?? [],
    attribution: attempts.some((attempt) => attempt.outcome.shared) ? "shared" : "exclusive",
    sandbox_killed: outcome?.sandboxKilled ?? false,
    isolation,
    ...(outcome?.memoryShared ? { memory_shared: "template" as const } : {}),
    ...(last?.error === undefined ? {} : { error: last.error }),
    ...measured,
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

/**
 * The exact total over all attempts, split by the counters of user and system time, or as `wait4` saw it when those
 * stood still.
 */
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
