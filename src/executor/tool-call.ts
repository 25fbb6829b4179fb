import type { CallValue } from "../model/result.ts";
import { type Attempt, runAttempt } from "./attempt.ts";
import type { CallSite, PlaceFacts } from "./place.ts";
import { makeRecord } from "./recorder.ts";
import type { CallScope } from "./scope.ts";
import type { CallEnd } from "./sinks/task-event.ts";

const DEFAULT_ATTEMPTS = 3;

/** Runs one call at its place with its attempts and closes its record, whatever happens. */
export async function runToolCall(scope: CallScope, site: CallSite): Promise<CallEnd> {
  const { callId, tool, call, index } = scope;
  const title = call.title ?? tool.title;
  void scope.sink.event({ type: "call_started", callId, tool: tool.name, title, index, input: call.input });
  const attempts: Attempt[] = [];
  let facts: PlaceFacts;
  try {
    do attempts.push(await runAttempt(scope, site, attempts.length + 1));
    while (mayRetry(scope, attempts) && (await site.backOff(attempts.length)));
  } finally {
    facts = await site.end();
  }
  return { record: makeRecord(scope, attempts, facts), value: makeValue(scope, title, attempts.at(-1)) };
}

/** Only declared idempotency and a retryable cause lead to another try. */
function mayRetry({ tool, call, signal }: CallScope, attempts: readonly Attempt[]): boolean {
  const last = attempts.at(-1);
  if (last?.verdict !== "nonzero" || last.outcome.retryable !== true || signal.aborted) return false;
  return attempts.length < (call.attempts ?? DEFAULT_ATTEMPTS) && tool.idempotency(call.input) === "idempotent";
}

function makeValue({ callId }: CallScope, title: string, last: Attempt | undefined): CallValue {
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
