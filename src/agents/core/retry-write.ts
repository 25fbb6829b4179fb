import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import { backoffMs } from "../../lib/backoff.ts";
import type { AgentServices } from "./agent-services.ts";

const BACKOFF = { baseMs: 100, capMs: 5000 };
const PASSING: ReadonlySet<string> = new Set(["no_space", "state_failed"]);

/** Whether it may be that only the answer was lost: what was written is there then, or will be in a moment. */
export const mayHaveWritten = (error: unknown): boolean =>
  error instanceof PaddockError && error.code === "state_failed";

/**
 * A write that must happen, for work has been done: tried again while the database fails or its disk is full. Rejects
 * with what the store threw last once the process is done with its agents or `signal` aborts; the next start tells the
 * end then.
 */
export async function retryWrite<T>(
  core: Pick<AgentServices, "closing" | "telemetry">,
  write: () => Promise<T>,
  signal: AbortSignal = core.closing,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      const isPassing = error instanceof PaddockError && PASSING.has(error.code);
      if (!isPassing || core.closing.aborted || signal.aborted) throw error;
      if (attempt === 1) core.telemetry.problem("agents.persist", error);
      await sleep(backoffMs(Math.min(attempt, 10), BACKOFF), undefined, {
        signal: AbortSignal.any([core.closing, signal]),
      }).catch(() => Promise.reject(error));
    }
  }
}
