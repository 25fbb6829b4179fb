import { type PaddockError, toPaddockError } from "../errors/error.ts";
import { isTimeout } from "../lib/deadline.ts";
import type { ToolCallId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { EgressRecord, RecordedError } from "../model/record.ts";
import type { Verdict } from "../model/verdict.ts";
import type { UsageSample } from "../sandbox/host.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { ObjectAccess, Tool, ToolOutcome } from "../tools/tool.ts";
import type { PhaseClock } from "./phases.ts";
import { decideVerdict, describeVerdict } from "./verdict.ts";

/** Less free space than this counts as full. */
const FULL_BYTES = 1024 * 1024;

export interface AttemptInput {
  readonly tool: Tool;
  readonly input: unknown;
  readonly callId: ToolCallId;
  readonly sandbox: Sandbox;
  readonly nodeType: NodeType;
  readonly limits: Limits;
  readonly objects?: ObjectAccess | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly clock: PhaseClock;
  /** Kill the call when a stream exceeds `limits.outputBytes`. */
  readonly killOnOutput: boolean;
  readonly onOutput: (stream: "stdout" | "stderr", chunk: Buffer) => void | Promise<void>;
  readonly egress: () => readonly EgressRecord[];
}

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
export async function runAttempt(input: AttemptInput): Promise<Attempt> {
  const startTime = new Date().toISOString();
  const begun = performance.now();
  const peakIsOwn = input.sandbox.host.resetPeak();
  const before = input.sandbox.usage();
  const guard = new OutputGuard(input);
  input.clock.mark("prepare");
  const outcome = nameTheEnd(await runTool(input, guard), input.signal);
  input.clock.mark("run");
  const after = input.sandbox.usage();
  const failed = outcome.ended === "exit" && outcome.exitCode !== 0;
  const diskFull = failed && (await isFull(input.sandbox));
  const evidence = { outcome, before, after, egress: input.egress(), outputExceeded: guard.exceeded, diskFull };
  const verdict = decideVerdict(evidence);
  const error = describeVerdict(verdict, evidence, input.limits, input.timeoutMs);
  const facts = { startTime, durationMs: performance.now() - begun, verdict, outcome, before, after, peakIsOwn };
  return error === undefined ? facts : { ...facts, error };
}

async function runTool(input: AttemptInput, guard: OutputGuard): Promise<ToolOutcome> {
  try {
    return await input.tool.run(input.input, {
      sandbox: input.sandbox,
      callId: input.callId,
      nodeType: input.nodeType,
      limits: input.limits,
      ...(input.objects === undefined ? {} : { objects: input.objects }),
      signal: guard.signal,
      deadlineMs: input.timeoutMs,
      onOutput: (stream, chunk) => guard.push(stream, chunk),
      mark: (phase) => input.clock.mark(phase),
    });
  } catch (thrown) {
    return failureOutcome(toPaddockError(thrown), guard.signal.aborted);
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

/** Counts output and, when asked, ends the call that exceeds its limit. */
class OutputGuard {
  readonly #input: AttemptInput;
  readonly #controller = new AbortController();
  readonly #bytes = { stdout: 0, stderr: 0 };
  readonly signal: AbortSignal;
  exceeded = false;

  constructor(input: AttemptInput) {
    this.#input = input;
    this.signal = AbortSignal.any([input.signal, this.#controller.signal]);
  }

  push(stream: "stdout" | "stderr", chunk: Buffer): void | Promise<void> {
    this.#bytes[stream] += chunk.length;
    if (this.#input.killOnOutput && this.#bytes[stream] > this.#input.limits.outputBytes && !this.exceeded) {
      this.exceeded = true;
      this.#controller.abort();
    }
    return this.#input.onOutput(stream, chunk);
  }
}
