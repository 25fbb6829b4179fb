import { PaddockError } from "../../errors/error.ts";
import { Deadline } from "../../lib/deadline.ts";
import { pause, type RactorClient } from "./ractor-client.ts";
import { isUncertain, kindOf } from "./refusal.ts";
import { isTerminal, type Response } from "./reply-schemas.ts";

export interface WaitOptions {
  /** A row that has not changed for so long is cancelled and counts as failed. */
  readonly stallMs: number;
  /** Let the server hold each look for so long; one that does not is polled. Default: poll. At most 60. */
  readonly waitSeconds?: number;
  readonly signal?: AbortSignal | undefined;
  /** Sees each new state of the row. */
  readonly onChange?: (response: Response) => void;
}

const POLL_GROWTH = 1.5;
const CANCEL_TRIES = 4;
/** A look that took less than this part of its wait was not held by the server. */
const HELD_SHARE = 0.5;

/**
 * Polls a response until it has ended: 404 within the grace period means "not yet", gateway and transport failures are
 * waited out, and the interval grows while nothing changes. A row that stands still for `stallMs` is cancelled
 * (`timeout`); so is one whose caller left (the signal's reason). Throws `remote_failed` when the row never appeared.
 */
export async function awaitResponse(
  client: RactorClient,
  agent: string,
  id: string,
  options: WaitOptions,
): Promise<Response> {
  const { graceMs, pollMinMs, pollMaxMs } = client.times;
  const { signal, stallMs, waitSeconds = 0 } = options;
  const begun = performance.now();
  let state = "";
  let changedAt = begun;
  let intervalMs = pollMinMs;
  try {
    for (;;) {
      const asked = performance.now();
      const row = await readRow(client, agent, id, signal, waitSeconds);
      const now = performance.now();
      if (row !== undefined && row !== "unavailable") {
        if (isTerminal(row)) return row;
        const seen = fingerprint(row);
        if (seen !== state) {
          state = seen;
          changedAt = now;
          intervalMs = pollMinMs;
          options.onChange?.(row);
        }
      }
      if (row === undefined && state === "" && now - begun >= graceMs) throw lost(id, graceMs);
      if (row === undefined && state !== "") throw gone(id);
      if (now - changedAt >= stallMs) throw stalled(id, stallMs);
      if (waitSeconds > 0 && now - asked >= HELD_SHARE * waitSeconds * 1000) continue;
      await pause(jitter(intervalMs, client.random), signal);
      intervalMs = Math.min(pollMaxMs, intervalMs * POLL_GROWTH);
    }
  } catch (error) {
    if (kindOf(error) !== "gone") await cancelResponse(client, agent, id);
    throw error;
  }
}

async function readRow(
  client: RactorClient,
  agent: string,
  id: string,
  signal: AbortSignal | undefined,
  waitSeconds = 0,
): Promise<Response | undefined | "unavailable"> {
  try {
    return await client.readResponse(agent, id, signal, waitSeconds);
  } catch (error) {
    signal?.throwIfAborted();
    if (kindOf(error) === "missing") {
      if (/agent not found/i.test(error instanceof Error ? error.message : "")) throw gone(id);
      return undefined;
    }
    if (isUncertain(error) || kindOf(error) === "server") return "unavailable";
    throw error;
  }
}

/** All that can move while a task runs. Times of stock servers have whole seconds and say less than the segments do. */
const fingerprint = ({ status, segments, updated_at }: Response): string =>
  `${status} ${segments.length} ${updated_at ?? ""}`;

const jitter = (intervalMs: number, random: () => number): number => intervalMs * (0.8 + 0.4 * random());

const lost = (id: string, graceMs: number): PaddockError =>
  new PaddockError(
    "remote_failed",
    `the server took response ${id} and did not know it ${Math.round(graceMs / 1000)} s later`,
    {
      context: { kind: "lost" },
      hint: "The server lost the task; submit it again.",
    },
  );

const gone = (id: string): PaddockError =>
  new PaddockError("remote_failed", `response ${id} disappeared: its agent was deleted`, { context: { kind: "gone" } });

const stalled = (id: string, stallMs: number): PaddockError =>
  new PaddockError("timeout", `response ${id} has not changed for ${Math.round(stallMs)} ms and was cancelled`, {
    context: { kind: "stalled" },
  });

/**
 * POST /cancel, then a look: an agent in the middle of a tool call may put the row back to `processing`. Has a deadline
 * of its own, for the caller's is often over. Never throws; returns whether the row has ended.
 */
export async function cancelResponse(client: RactorClient, agent: string, id: string): Promise<boolean> {
  using deadline = Deadline.after(client.times.cleanupMs);
  try {
    for (let attempt = 1; attempt <= CANCEL_TRIES; attempt++) {
      await client.cancel(agent, deadline.signal);
      const row = await readRow(client, agent, id, deadline.signal);
      if (row === undefined || (row !== "unavailable" && isTerminal(row))) return true;
      await client.backOff(attempt, deadline.signal);
    }
  } catch {
    // The server is away, or the agent is gone: nothing more can be done from here.
  }
  return false;
}
