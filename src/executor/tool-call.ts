import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../lib/backoff.ts";
import type { ToolCallId } from "../model/ids.ts";
import type { CallValue } from "../model/result.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { type Attempt, type AttemptPlace, runAttempt } from "./attempt.ts";
import { makeRecord, type PlaceFacts } from "./recorder.ts";
import type { CallScope } from "./scope.ts";
import type { CallEnd } from "./sinks/task-event.ts";

const DEFAULT_ATTEMPTS = 3;
const BACKOFF = { baseMs: 200, capMs: 5000 };

/** Runs one call with its attempts and closes its record, whatever happens. */
export async function runToolCall(scope: CallScope, place: AttemptPlace): Promise<CallEnd> {
  const { callId, tool, call, index } = scope;
  const title = call.title ?? tool.title;
  void scope.sink.event({ type: "call_started", callId, tool: tool.name, title, index, input: call.input });
  const attempts: Attempt[] = [];
  let changes: PlaceFacts["changes"];
  try {
    await runAttempts(scope, place, attempts);
  } finally {
    changes = await diffAfter(place.sandbox, callId);
    scope.mark("transfer_out");
  }
  await place.proxy.settle(callId);
  const { egress, networkMs } = place.proxy.ledger.close(callId);
  const { id: sandboxId, host } = place.sandbox;
  const record = makeRecord(scope, attempts, { sandboxId, isolation: host.isolation, egress, networkMs, changes });
  return { record, value: makeValue(callId, title, attempts.at(-1)) };
}

async function runAttempts(scope: CallScope, place: AttemptPlace, attempts: Attempt[]): Promise<void> {
  const limit = scope.call.attempts ?? DEFAULT_ATTEMPTS;
  for (;;) {
    const attempt = await runAttempt(scope, place);
    attempts.push(attempt);
    if (attempts.length >= limit || !mayRetry(scope, place, attempt)) return;
    const delay = backoffMs(attempts.length, BACKOFF);
    if (delay >= scope.deadline.remainingMs()) return;
    await sleep(delay, undefined, { signal: scope.signal }).catch(() => undefined);
    if (scope.signal.aborted) return;
  }
}

/** Only declared idempotency and a retryable cause lead to another try, and only in a sandbox that still lives. */
function mayRetry({ tool, call, signal }: CallScope, { sandbox }: AttemptPlace, attempt: Attempt): boolean {
  if (attempt.verdict !== "nonzero" || attempt.outcome.retryable !== true || sandbox.end) return false;
  return tool.idempotency(call.input) === "idempotent" && !signal.aborted;
}

/** What the call changed; undefined when the sandbox cannot tell any more. */
async function diffAfter(sandbox: Sandbox, callId: ToolCallId): Promise<PlaceFacts["changes"]> {
  if (sandbox.end) return undefined;
  try {
    return await sandbox.files.diff({ callId });
  } catch {
    return undefined;
  }
}

function makeValue(callId: ToolCallId, title: string, last: Attempt | undefined): CallValue {
  const outcome = last?.outcome;
  return {
    tool_call_id: callId,
    title,
    ...(outcome?.value === undefined ? {} : { value: outcome.value }),
    ...(outcome?.rich?.length
      ? { rich: outcome.rich.map(({ mime, data }) => ({ mime, base64: data.toString("base64") })) }
      : {}),
    ...(outcome?.guestError === undefined ? {} : { guest_error: outcome.guestError }),
  };
}
