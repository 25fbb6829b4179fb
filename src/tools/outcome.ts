import { BoundedOutput } from "../lib/bounded-output.ts";
import { Deadline, raceSignal } from "../lib/deadline.ts";
import { NO_OUTPUT, type OutputRecord } from "../model/record.ts";
import type { ProcessReport } from "../sandbox/channel/messages.ts";
import type { CodeResult, RunOptions, RunResult } from "../sandbox/process.ts";
import type { ToolContext, ToolOutcome } from "./tool.ts";

/** Text as an output record, cut to head and tail at `limitBytes`. */
export function textOutput(text: string, limitBytes: number): OutputRecord {
  if (text === "") return NO_OUTPUT;
  const output = new BoundedOutput(limitBytes);
  output.push(Buffer.from(text));
  return { text: output.text(), total_bytes: output.totalBytes, dropped_bytes: output.missingBytes };
}

/** A tool that did what it was asked without running a process. */
export function doneOutcome(facts: { value?: unknown; requestBytes?: number; responseBytes?: number }): ToolOutcome {
  return {
    ended: "exit",
    exitCode: 0,
    stdout: NO_OUTPUT,
    stderr: NO_OUTPUT,
    requestBytes: facts.requestBytes ?? 0,
    responseBytes: facts.responseBytes ?? 0,
    ...(facts.value === undefined ? {} : { value: facts.value }),
  };
}

/** A tool that could not do what it was asked; `message` becomes its stderr. */
export function failedOutcome(exitCode: number, message: string, facts: Partial<ToolOutcome> = {}): ToolOutcome {
  return { ...doneOutcome({}), exitCode, stderr: textOutput(`${message}\n`, 64 * 1024), ...facts };
}

export function codeOutcome(result: CodeResult): ToolOutcome {
  const { report } = result;
  return {
    ...processOutcome(result),
    rich: result.rich,
    ...(report?.value == null ? {} : { value: report.value }),
    ...(report?.error == null ? {} : { guestError: report.error }),
    ...(report === undefined ? {} : { memoryShared: report.memory_shared }),
  };
}

export function processOutcome(result: RunResult<ProcessReport>): ToolOutcome {
  return {
    ended: result.ended,
    stdout: result.stdout,
    stderr: result.stderr,
    requestBytes: result.bytes.sent,
    responseBytes: result.bytes.received,
    sandboxKilled: result.sandboxKilled,
    ...(result.error === undefined ? {} : { error: result.error }),
    ...(result.report === undefined ? {} : reportFacts(result.report)),
  };
}

function reportFacts(report: ProcessReport): Partial<ToolOutcome> {
  return {
    ...(report.exit_code === null ? {} : { exitCode: report.exit_code }),
    ...(report.signal === null ? {} : { signal: report.signal }),
    usage: { userUs: report.user_us, systemUs: report.system_us, maxRssBytes: report.max_rss_bytes },
    shared: report.shared,
  };
}

/** What every process and code run of a call takes from its context. */
export function runOptions(context: ToolContext): RunOptions {
  return {
    callId: context.callId,
    deadlineMs: context.deadlineMs,
    signal: context.signal,
    outputBytes: context.limits.outputBytes,
    ...(context.onOutput === undefined ? {} : { onOutput: context.onOutput }),
  };
}

/**
 * Holds work that takes no deadline of its own (file operations, tunnels) to the attempt's.
 * The work itself goes on unseen; the supervisor's watchdog bounds it.
 */
export async function withinDeadline(
  context: ToolContext,
  work: (signal: AbortSignal) => Promise<ToolOutcome>,
): Promise<ToolOutcome> {
  using deadline = Deadline.after(context.deadlineMs, context.signal);
  try {
    return await raceSignal(work(deadline.signal), deadline.signal);
  } catch (thrown) {
    if (!deadline.signal.aborted) throw thrown;
    const { exitCode: _none, ...outcome } = doneOutcome({});
    return { ...outcome, ended: deadline.timedOut ? "deadline" : "cancel" };
  }
}
