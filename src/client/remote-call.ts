import type { Attempt } from "../executor/attempt.ts";
import { round } from "../executor/metrics.ts";
import { PhaseClock } from "../executor/phases.ts";
import { makeRecord } from "../executor/recorder.ts";
import { decideVerdict, describeVerdict } from "../executor/verdict.ts";
import { isTimeout } from "../lib/deadline.ts";
import type { TaskId } from "../model/ids.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { RemoteIsolation, RemoteRecord } from "../model/remote.ts";
import type { CallValue } from "../model/result.ts";
import { type RemoteStep, type StepInput, timeoutOf } from "./capture.ts";
import type { WireAccount } from "./ractor/account.ts";
import type { RactorClient } from "./ractor/ractor-client.ts";
import { attemptRemotely, type RemoteAttempt } from "./remote-attempt.ts";

const DEFAULT_ATTEMPTS = 3;

/** Nothing of the host is known. */
export const UNKNOWN_ISOLATION: RemoteIsolation = {
  driver: "ractor",
  runtime: "unknown",
  version: "unknown",
  kernel: "unknown",
  seccomp: "unknown",
  limits: { mode: "unknown", workspace: "unknown" },
};

/** What a foreign server does not hold, whatever the task says. */
export const NOT_ENFORCED = ["network", "memory_bytes", "cpus", "pids", "workspace_bytes", "tmp_bytes", "open_files"];
const ALWAYS_UNKNOWN = ["egress", "cpu_user_ms", "cpu_system_ms", "max_rss_bytes"];
const FILE_FIELDS = ["files_created", "files_modified", "files_deleted", "dependencies_installed"];
const TIME_FIELDS = ["phases_ms.run", "compute_ms"];

export interface RemoteCallInput extends StepInput {
  readonly client: RactorClient;
  readonly agent: string;
  readonly taskId: TaskId;
  readonly step: RemoteStep;
  readonly index: number;
  /** Holds what making the agent cost, for the first call of a task. */
  readonly account: WireAccount;
  readonly leaseMs: number;
  readonly overheadMs: number;
  readonly signal: AbortSignal;
}

/** Runs one planned call on the server with its attempts and closes its record, whatever happens. */
export async function runRemoteCall(input: RemoteCallInput): Promise<{ record: ToolCallRecord; value: CallValue }> {
  const startTime = new Date(Date.now() - input.leaseMs).toISOString();
  const clock = new PhaseClock(performance.now() - input.leaseMs);
  clock.mark("lease");
  const stop = input.client.observe((request) => input.account.add(request));
  const attempts: Attempt[] = [];
  let last: RemoteAttempt | undefined;
  try {
    do {
      last = await tryOnce(input, clock, attempts);
    } while (await mayRepeat(input, attempts));
  } finally {
    stop();
  }
  const record = { ...makeBase(input, startTime, clock, attempts, last), remote: describe(input, last) };
  return { record, value: makeValue(input, last) };
}

async function tryOnce(input: RemoteCallInput, clock: PhaseClock, attempts: Attempt[]): Promise<RemoteAttempt> {
  const startTime = new Date().toISOString();
  const begun = performance.now();
  const tried = await attemptRemotely({ ...input, attempt: attempts.length + 1 });
  const durationMs = performance.now() - begun;
  clock.mark("run");
  // The work's own time is what the runner measured; the rest is the server's queue and its model.
  if (tried.result !== undefined) {
    const waitedMs = Math.max(0, durationMs - tried.result.duration_ms);
    clock.phases.run -= waitedMs;
    clock.phases.queue += waitedMs;
  }
  const outcome = nameTheEnd(input, tried);
  const evidence = { outcome, before: {}, after: {}, egress: [], outputExceeded: false, diskFull: false };
  const verdict = decideVerdict(evidence);
  const described = describeVerdict(verdict, evidence, input.limits, timeoutOf(input));
  const error = described ?? (verdict === "nonzero" ? outcome.error?.toJSON() : undefined);
  attempts.push({
    startTime,
    durationMs,
    verdict,
    outcome,
    before: {},
    after: {},
    peakIsOwn: false,
    ...(error === undefined ? {} : { error }),
  });
  return { ...tried, outcome };
}

/** A call that its task's deadline ended timed out; it was not cancelled by anybody. */
function nameTheEnd({ signal }: RemoteCallInput, { outcome }: RemoteAttempt): RemoteAttempt["outcome"] {
  return outcome.ended === "cancel" && isTimeout(signal.reason) ? { ...outcome, ended: "deadline" } : outcome;
}

async function mayRepeat(input: RemoteCallInput, attempts: readonly Attempt[]): Promise<boolean> {
  const last = attempts.at(-1);
  if (last?.verdict !== "nonzero" || last.outcome.retryable !== true || input.signal.aborted) return false;
  if (attempts.length >= (input.call.attempts ?? DEFAULT_ATTEMPTS)) return false;
  if (input.tool.idempotency(input.call.input) !== "idempotent") return false;
  try {
    input.account.backoffMs.push(await input.client.backOff(attempts.length, input.signal));
    return true;
  } catch {
    return false;
  }
}

function makeBase(
  input: RemoteCallInput,
  startTime: string,
  clock: PhaseClock,
  attempts: readonly Attempt[],
  last: RemoteAttempt | undefined,
): ToolCallRecord {
  const { account } = input;
  const result = last?.result;
  const changes =
    last?.source === "files" ? { changes: [], more: 0 } : result && { changes: result.changes, more: result.more };
  const facts = { sandboxId: null, isolation: null, egress: [], networkMs: 0, changes };
  const record = makeRecord({ ...input, startTime, clock }, attempts, facts);
  return {
    ...record,
    isolation: UNKNOWN_ISOLATION,
    network_ms: account.networkMs,
    compute_ms: round(result?.duration_ms ?? 0),
    request_bytes: account.sentBytes,
    response_bytes: account.receivedBytes,
  };
}

function describe({ client, agent, account }: RemoteCallInput, last: RemoteAttempt | undefined): RemoteRecord {
  const source = last?.source ?? "none";
  const unknown = [
    ...ALWAYS_UNKNOWN,
    ...(source === "runner" ? [] : TIME_FIELDS),
    ...(source === "runner" || source === "files" ? [] : FILE_FIELDS),
  ];
  const runMs = last?.result?.duration_ms;
  return account.describe({
    url: client.url,
    agent,
    source,
    unknown,
    not_enforced: NOT_ENFORCED,
    ...(runMs === undefined ? {} : { run_ms: round(runMs) }),
  });
}

function makeValue({ callId, call, tool }: RemoteCallInput, last: RemoteAttempt | undefined): CallValue {
  const value = last?.outcome.value;
  return { tool_call_id: callId, title: call.title ?? tool.title, ...(value === undefined ? {} : { value }) };
}
