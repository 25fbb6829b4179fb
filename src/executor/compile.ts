import { DEFAULT_LIMITS, type Limits } from "../model/limits.ts";
import type { TaskInput } from "../model/task.ts";

/** The limits of a task: defaults with what the task names. */
export function compileLimits(input: TaskInput["limits"], defaults: Limits = DEFAULT_LIMITS): Limits {
  if (input === undefined) return defaults;
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
