import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../lib/backoff.ts";
import type { TaskId, ToolCallId } from "../model/ids.ts";
import { makeToolCallId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { CallValue } from "../model/result.ts";
import type { EgressProxy } from "../network/proxy/proxy.ts";
import type { DiffEntry } from "../sandbox/channel/messages.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { ObjectAccess, PlannedCall, Tool } from "../tools/tool.ts";
import { type Attempt, runAttempt } from "./attempt.ts";
import { PhaseClock } from "./phases.ts";
import { makeRecord } from "./recorder.ts";

const DEFAULT_ATTEMPTS = 3;
const BACKOFF = { baseMs: 200, capMs: 5000 };

export interface ToolCallInput {
  readonly taskId: TaskId;
  readonly nodeType: NodeType;
  readonly limits: Limits;
  readonly sandbox: Sandbox;
  readonly proxy: EgressProxy;
  readonly tool: Tool;
  readonly call: PlannedCall;
  readonly objects?: ObjectAccess | undefined;
  /** Time left for the task. */
  readonly remainingMs: number;
  readonly signal: AbortSignal;
  readonly killOnOutput: boolean;
  /** Booked to the first call of a task: making and settling its sandbox. */
  readonly leaseMs: number;
  readonly onOutput: (callId: ToolCallId, stream: "stdout" | "stderr", chunk: Buffer) => void | Promise<void>;
  readonly onStart: (callId: ToolCallId) => void;
  readonly random?: () => number;
}

/** Runs one planned call with its attempts and closes its record, whatever happens. */
export async function runToolCall(input: ToolCallInput): Promise<{ record: ToolCallRecord; value: CallValue }> {
  const callId = makeToolCallId();
  const startTime = new Date(Date.now() - input.leaseMs).toISOString();
  const clock = new PhaseClock(performance.now() - input.leaseMs);
  clock.mark("lease");
  input.onStart(callId);
  const attempts: Attempt[] = [];
  let changes: Changes | undefined;
  try {
    await runAttempts(input, callId, clock, attempts);
  } finally {
    changes = await diffAfter(input.sandbox, callId);
    clock.mark("transfer_out");
  }
  await input.proxy.settle(callId);
  const network = input.proxy.ledger.close(callId);
  const record = makeRecord({
    callId,
    taskId: input.taskId,
    sandboxId: input.sandbox.id,
    nodeType: input.nodeType,
    tool: input.tool,
    input: input.call.input,
    startTime,
    clock,
    attempts,
    egress: network.egress,
    networkMs: network.networkMs,
    changes,
    isolation: input.sandbox.host.isolation,
  });
  return { record, value: makeValue(callId, input, attempts.at(-1)) };
}

async function runAttempts(
  input: ToolCallInput,
  callId: ToolCallId,
  clock: PhaseClock,
  attempts: Attempt[],
): Promise<void> {
  const begun = performance.now();
  const limit = input.call.attempts ?? DEFAULT_ATTEMPTS;
  for (;;) {
    const left = input.remainingMs - (performance.now() - begun);
    const timeoutMs = Math.max(1, Math.min(input.call.timeoutMs ?? input.limits.callTimeoutMs, left));
    const attempt = await runAttempt({
      tool: input.tool,
      input: input.call.input,
      callId,
      sandbox: input.sandbox,
      nodeType: input.nodeType,
      limits: input.limits,
      objects: input.objects,
      timeoutMs,
      signal: input.signal,
      clock,
      killOnOutput: input.killOnOutput,
      onOutput: (stream, chunk) => input.onOutput(callId, stream, chunk),
      egress: () => input.proxy.ledger.peek(callId).egress,
    });
    attempts.push(attempt);
    if (attempts.length >= limit || !mayRetry(input, attempt)) return;
    const delay = backoffMs(attempts.length, { ...BACKOFF, ...(input.random ? { random: input.random } : {}) });
    if (performance.now() - begun + delay >= input.remainingMs) return;
    await sleep(delay, undefined, { signal: input.signal }).catch(() => undefined);
    if (input.signal.aborted) return;
  }
}

/** Only declared idempotency and a retryable cause lead to another try, and only in a sandbox that still lives. */
function mayRetry(input: ToolCallInput, attempt: Attempt): boolean {
  if (attempt.verdict !== "nonzero" || attempt.outcome.retryable !== true || input.sandbox.end) return false;
  return input.tool.idempotency(input.call.input) === "idempotent" && !input.signal.aborted;
}

interface Changes {
  readonly changes: readonly DiffEntry[];
  readonly more: number;
}

/** What the call changed; undefined when the sandbox cannot tell any more. */
async function diffAfter(sandbox: Sandbox, callId: ToolCallId): Promise<Changes | undefined> {
  if (sandbox.end) return undefined;
  try {
    return await sandbox.files.diff({ callId });
  } catch {
    return undefined;
  }
}

function makeValue(callId: ToolCallId, input: ToolCallInput, last: Attempt | undefined): CallValue {
  const outcome = last?.outcome;
  return {
    tool_call_id: callId,
    title: input.call.title ?? input.tool.title,
    ...(outcome?.value === undefined ? {} : { value: outcome.value }),
    ...(outcome?.rich?.length
      ? { rich: outcome.rich.map(({ mime, data }) => ({ mime, base64: data.toString("base64") })) }
      : {}),
    ...(outcome?.guestError === undefined ? {} : { guest_error: outcome.guestError }),
  };
}
