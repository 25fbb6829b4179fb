import { type PaddockError, toPaddockError } from "../errors/error.ts";
import type { Lease } from "../fleet/leases/lease.ts";
import { isTimeout } from "../lib/deadline.ts";
import type { RecordedError } from "../model/record.ts";
import type { Verdict } from "../model/verdict.ts";
import type { UsageSample } from "../sandbox/host.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { ToolContext, ToolOutcome } from "../tools/tool.ts";
import type { CallScope } from "./scope.ts";
import { decideVerdict, describeVerdict } from "./verdict.ts";

/** Less free space than this counts as full. */
const FULL_BYTES = 1024 * 1024;

/** Where an attempt runs. */
export type AttemptPlace = Pick<Lease, "sandbox" | "proxy">;

/** One try of a tool call with the host's evidence around it. */
export interface Attempt {
  readonly startTime: string;
  readonly durationMs: number;
  readonly verdict: Verdict;
  readonly error?: RecordedError;
  readonly outcome: ToolOutcome;
  readonly before: UsageSample;
  readonly after: UsageSample;
  /** The memory peak in `after` belongs to this attempt alone. */
  readonly peakIsOwn: boolean;
}

/** Runs a tool once. Throws for bad input and for what the platform could not start; a guest's failure is an Attempt. */
export async function runAttempt(scope: CallScope, { sandbox, proxy }: AttemptPlace): Promise<Attempt> {
  const startTime = new Date().toISOString();
  const begun = performance.now();
  const peakIsOwn = sandbox.host.resetPeak();
  const before = sandbox.usage();
  const guard = new OutputGuard(scope);
  const deadlineMs = limitAttempt(scope);
  scope.clock.mark("prepare");
  const context = { ...scope, sandbox, deadlineMs, signal: guard.signal, onOutput: guard.push };
  const outcome = nameTheEnd(await runTool(scope, context), scope.signal);
  scope.mark("run");
  const after = sandbox.usage();
  const failed = outcome.ended === "exit" && outcome.exitCode !== 0;
  const diskFull = failed && (await isFull(sandbox));
  const { egress } = proxy.ledger.peek(scope.callId);
  const evidence = { outcome, before, after, egress, outputExceeded: guard.exceeded, diskFull };
  const verdict = decideVerdict(evidence);
  const error = describeVerdict(verdict, evidence, scope.limits, deadlineMs);
  const facts = { startTime, durationMs: performance.now() - begun, verdict, outcome, before, after, peakIsOwn };
  return error === undefined ? facts : { ...facts, error };
}

/** Time for one attempt: the call's own, but no more than the task has left. */
function limitAttempt({ call, limits, deadline }: CallScope): number {
  return Math.max(1, Math.min(call.timeoutMs ?? limits.callTimeoutMs, deadline.remainingMs()));
}

async function runTool({ tool, call }: CallScope, context: ToolContext): Promise<ToolOutcome> {
  try {
    return await tool.run(call.input, context);
  } catch (thrown) {
    return failureOutcome(toPaddockError(thrown), context.signal.aborted);
  }
}

/** A call that its task's deadline ended timed out; it was not cancelled by anybody. */
function nameTheEnd(outcome: ToolOutcome, signal: AbortSignal): ToolOutcome {
  const timedOut = outcome.ended === "cancel" && signal.aborted && isTimeout(signal.reason);
  return timedOut ? { ...outcome, ended: "deadline" } : outcome;
}

/** A request that the sandbox refused (no such file, path refused) is the call's failure, not the platform's. */
function failureOutcome(error: PaddockError, aborted: boolean): ToolOutcome {
  const empty = { text: "", total_bytes: 0, dropped_bytes: 0 };
  const lost = ["supervisor_lost", "sandbox_lost", "sandbox_closed", "protocol_error"].includes(error.code);
  if (error.code === "internal") throw error;
  const reason = error.context["reason"];
  return {
    ended: lost ? "lost" : aborted ? "cancel" : "exit",
    ...(lost || aborted ? {} : { exitCode: 1 }),
    stdout: empty,
    stderr: { ...empty, text: `${error.message}\n`, total_bytes: Buffer.byteLength(error.message) + 1 },
    requestBytes: 0,
    responseBytes: 0,
    error,
    ...(reason === "no_space" ? { verdict: "disk" as const } : {}),
  };
}

async function isFull(sandbox: Sandbox): Promise<boolean> {
  if (sandbox.end) return false;
  try {
    const space = await sandbox.files.space();
    return Math.min(space.workspaceFree, space.tmpFree) < FULL_BYTES;
  } catch {
    return false;
  }
}

/** Counts output and, when the task asks for it, ends the call that exceeds its limit. */
class OutputGuard {
  readonly #scope: CallScope;
  readonly #controller = new AbortController();
  readonly #bytes = { stdout: 0, stderr: 0 };
  readonly signal: AbortSignal;
  exceeded = false;

  constructor(scope: CallScope) {
    this.#scope = scope;
    this.signal = AbortSignal.any([scope.signal, this.#controller.signal]);
  }

  readonly push = (stream: "stdout" | "stderr", chunk: Buffer): void | Promise<void> => {
    const { task, limits, onOutput } = this.#scope;
    this.#bytes[stream] += chunk.length;
    if (task.on_output === "kill" && this.#bytes[stream] > limits.outputBytes && !this.exceeded) {
      this.exceeded = true;
      this.#controller.abort();
    }
    return onOutput(stream, chunk);
  };
}
