import { type PaddockError, toPaddockError } from "../../errors/error.ts";
import type { Lease } from "../../fleet/leases/lease.ts";
import { raceSignal } from "../../lib/deadline.ts";
import type { AgentRow, SetupReport } from "../../model/agent.ts";
import type { ProcessResult } from "../../sandbox/process.ts";
import { exists, putFiles, SETUP_FILE } from "./setup-files.ts";

export interface SetupOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onOutput?: (stream: "stdout" | "stderr", chunk: Buffer) => void | Promise<void>;
}

/** Of each stream in the report. */
const REPORT_BYTES = 16 * 1024;

/** What a guest can cause in its own workspace. */
const GUEST_FAULTS: ReadonlySet<string> = new Set([
  "path_refused",
  "file_error",
  "not_found",
  "no_space",
  "invalid_request",
]);

/**
 * Makes the agent's folders and files and runs `code/setup.sh`, as it stands in the workspace, to its end; what it
 * leaves running is killed with it. Null when there is none. A setup that fails is a report; a sandbox that it takes
 * with it has ended afterwards. Throws when `signal` aborts (its reason) and for what is the platform's fault.
 */
export async function runSetup(
  lease: Lease,
  agent: Pick<AgentRow, "settings">,
  options: SetupOptions,
): Promise<SetupReport | null> {
  const { sandbox } = lease;
  const startedAt = new Date().toISOString();
  const begun = performance.now();
  const report = (facts: Omit<SetupReport, "started_at" | "duration_ms">): SetupReport => ({
    ...facts,
    started_at: startedAt,
    duration_ms: Math.round(performance.now() - begun),
  });
  try {
    const hasSetup = await raceSignal(prepare(lease, agent), options.signal);
    if (!hasSetup) return null;
  } catch (error) {
    options.signal.throwIfAborted();
    return report({ status: "failed", stdout: "", stderr: `${explainFault(error).message}\n` });
  }
  const root = sandbox.settings.workspacePath;
  const result = await sandbox.runProcess({
    argv: ["bash", `${root}/${SETUP_FILE}`],
    cwd: root,
    deadlineMs: options.timeoutMs,
    signal: options.signal,
    outputBytes: REPORT_BYTES,
    ...(options.onOutput === undefined ? {} : { onOutput: options.onOutput }),
  });
  options.signal.throwIfAborted();
  return report(describeEnd(result));
}

async function prepare(lease: Lease, agent: Pick<AgentRow, "settings">): Promise<boolean> {
  const { files } = lease.sandbox;
  await putFiles(files, agent.settings);
  return await exists(files, SETUP_FILE);
}

function describeEnd(result: ProcessResult): Omit<SetupReport, "started_at" | "duration_ms"> {
  const { report, error, ended } = result;
  const code = report?.exit_code ?? undefined;
  const signal = report?.signal ?? undefined;
  const why = error === undefined ? "" : `${error.message}\n`;
  return {
    status: ended === "deadline" ? "timeout" : code === 0 && !result.sandboxKilled ? "ok" : "failed",
    ...(code === undefined ? {} : { exit_code: code }),
    ...(signal === undefined ? {} : { signal }),
    stdout: result.stdout.text,
    stderr: `${result.stderr.text}${why}`,
  };
}

function explainFault(thrown: unknown): PaddockError {
  const error = toPaddockError(thrown);
  if (GUEST_FAULTS.has(error.code)) return error;
  throw error;
}
