import { constants } from "node:os";
import { ERROR_CODES, isErrorCode } from "../../errors/codes.ts";
import type { TaskResult } from "../../model/result.ts";

/** How a shell writes that a signal ended a program. */
export function signalExitCode(name: string): number {
  return 128 + ((constants.signals as Readonly<Record<string, number>>)[`SIG${name}`] ?? 0);
}

/** 0 when everything that was to be stored was; else the first failure's own. */
export function artifactsExitCode({ artifacts }: TaskResult): number {
  const code = artifacts?.failed[0]?.error.code;
  if (code === undefined) return 0;
  return isErrorCode(code) ? ERROR_CODES[code].exitCode : 1;
}

/**
 * The guest's exit code where there is one; else 124 for a time-out, 137 for memory, 130 for a cancel, 128 + n for a
 * program that signal n ended, or the error's own.
 */
export function exitCodeOf(result: TaskResult): number {
  if (result.status === "completed") return result.exit_code ?? 0;
  if (result.status === "cancelled") return 130;
  const last = result.tool_calls.at(-1);
  if (last?.verdict === "timeout" || result.error?.code === "timeout") return 124;
  if (last?.verdict === "oom") return 137;
  if (last?.verdict === "nonzero" && last.signal !== undefined) return signalExitCode(last.signal);
  if (result.exit_code !== undefined && result.exit_code !== 0) return result.exit_code;
  return result.error !== undefined && isErrorCode(result.error.code) ? ERROR_CODES[result.error.code].exitCode : 1;
}
