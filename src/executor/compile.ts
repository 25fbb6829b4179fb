import { DEFAULT_LIMITS, type Limits } from "../model/limits.ts";
import type { LimitsInput, TaskInput } from "../model/task.ts";

/**
 * What is in `/tmp` counts as memory: with a part of its own a full one is `no space left`, not the end of the
 * processes.
 */
const MAX_TMP_OF_MEMORY = 0.5;

/** The limits of a task: defaults with what the task names. */
export function compileLimits(input: TaskInput["limits"], defaults: Limits = DEFAULT_LIMITS): Limits {
  const limits = input === undefined ? defaults : override(input, defaults);
  return { ...limits, tmpBytes: Math.min(limits.tmpBytes, Math.floor(limits.memoryBytes * MAX_TMP_OF_MEMORY)) };
}

function override(input: NonNullable<TaskInput["limits"]>, defaults: Limits): Limits {
  return {
    memoryBytes: input.memory_bytes ?? defaults.memoryBytes,
    cpus: input.cpus ?? defaults.cpus,
    pids: input.pids ?? defaults.pids,
    workspaceBytes: input.workspace_bytes ?? defaults.workspaceBytes,
    tmpBytes: input.tmp_bytes ?? defaults.tmpBytes,
    openFiles: input.open_files ?? defaults.openFiles,
    outputBytes: input.output_bytes ?? defaults.outputBytes,
    spillBytes: input.spill_bytes ?? defaults.spillBytes,
    callTimeoutMs: input.call_timeout_ms ?? defaults.callTimeoutMs,
    taskTimeoutMs: input.task_timeout_ms ?? defaults.taskTimeoutMs,
  };
}

/** Limits in the names that inputs use. */
export function describeLimits(limits: Limits): { readonly [Name in keyof LimitsInput]-?: number } {
  return {
    memory_bytes: limits.memoryBytes,
    cpus: limits.cpus,
    pids: limits.pids,
    workspace_bytes: limits.workspaceBytes,
    tmp_bytes: limits.tmpBytes,
    open_files: limits.openFiles,
    output_bytes: limits.outputBytes,
    spill_bytes: limits.spillBytes,
    call_timeout_ms: limits.callTimeoutMs,
    task_timeout_ms: limits.taskTimeoutMs,
  };
}
