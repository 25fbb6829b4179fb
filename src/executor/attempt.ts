import { isTimeout } from "../lib/deadline.ts";
import type { RecordedError } from "../model/record.ts";
import type { Verdict } from "../model/verdict.ts";
import type { ToolOutcome } from "../tools/tool.ts";
import type { CallSite, Tried } from "./place.ts";
import type { CallScope } from "./scope.ts";
import { decideVerdict, describeVerdict } from "./verdict.ts";

/** One try of a tool call as its record needs it. */
export interface Attempt extends Pick<Tried, "outcome" | "before" | "after" | "peakIsOwn"> {
  readonly startTime: string;
  readonly durationMs: number;
  readonly verdict: Verdict;
  readonly error?: RecordedError;
}

export async function runAttempt(scope: CallScope, site: CallSite, number: number): Promise<Attempt> {
  const startTime = new Date().toISOString();
  const begun = performance.now();
  const tried = await site.attempt(number);
  const evidence = { ...tried, outcome: nameTheEnd(tried.outcome, scope.signal) };
  const verdict = decideVerdict(evidence);
  const described = describeVerdict(verdict, evidence, scope.limits, tried.timeoutMs);
  const error = described ?? (verdict === "nonzero" ? tried.reason : undefined);
  const { outcome, before, after, peakIsOwn } = evidence;
  const facts = { startTime, durationMs: performance.now() - begun, verdict, outcome, before, after, peakIsOwn };
  return error === undefined ? facts : { ...facts, error };
}

/** A call that its task's deadline ended timed out; it was not cancelled by anybody. */
function nameTheEnd(outcome: ToolOutcome, signal: AbortSignal): ToolOutcome {
  const timedOut = outcome.ended === "cancel" && signal.aborted && isTimeout(signal.reason);
  return timedOut ? { ...outcome, ended: "deadline" } : outcome;
}
