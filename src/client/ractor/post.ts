import { isDeepStrictEqual } from "node:util";
import { PaddockError } from "../../errors/error.ts";
import { parseUntrustedJson } from "../../lib/json.ts";
import { type PostOptions, pause, type RactorClient } from "./ractor-client.ts";
import { isUncertain, kindOf } from "./refusal.ts";
import { isMarker, type Response } from "./reply-schemas.ts";

const LOOK_BACK = 50;
const MAX_CLEARS = 1;

export interface SendOptions extends PostOptions {
  /** Told of each wait. */
  readonly onBackOff?: (delayMs: number) => void;
  /** The context of the agent is ours to clear. Default false: a full context is an error. */
  readonly mayClearContext?: boolean;
}

/**
 * Posts a task and returns its row, however that had to be found out. 409 "busy" is waited out with back-off and jitter
 * until the signal aborts; "Context is full" is told apart. After a failure that leaves open whether the server took
 * the task it is never posted again: the newest rows are searched for its content, which therefore must be unlike that
 * of any other task of the agent. Throws `remote_failed` when it is not found within the grace period.
 */
export async function sendTask(
  client: RactorClient,
  agent: string,
  content: readonly unknown[],
  options: SendOptions = {},
): Promise<Response> {
  const { signal } = options;
  let clears = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      return await client.postResponse(agent, content, options);
    } catch (error) {
      signal?.throwIfAborted();
      if (isUncertain(error)) return await findTask(client, agent, content, signal, error);
      const kind = kindOf(error);
      if (kind === "context_full" && options.mayClearContext && clears++ < MAX_CLEARS)
        await client.clearContext(agent, signal);
      else if (kind !== "busy") throw error;
      else options.onBackOff?.(await client.backOff(attempt, signal));
    }
  }
}

/** The row with this content among the newest, waiting for it as long as a fresh row may take to appear. */
export async function findTask(
  client: RactorClient,
  agent: string,
  content: readonly unknown[],
  signal: AbortSignal | undefined,
  cause?: unknown,
): Promise<Response> {
  // Stored JSON keeps no order of keys, and parsed objects have no prototype.
  const wanted = parseUntrustedJson(JSON.stringify(content));
  const begun = performance.now();
  let intervalMs = client.times.pollMinMs;
  for (;;) {
    const rows = await newest(client, agent, signal);
    const found = rows.find((row) => !isMarker(row) && isDeepStrictEqual(plain(row.input_content), wanted));
    if (found !== undefined) return found;
    if (performance.now() - begun >= client.times.graceMs)
      throw new PaddockError(
        "remote_failed",
        "no answer came when the task was posted, and no row with its content appeared",
        {
          cause,
          context: { kind: "lost" },
          hint: "The server did not take the task; submit it again.",
        },
      );
    await pause(intervalMs, signal);
    intervalMs = Math.min(client.times.pollMaxMs, intervalMs * 2);
  }
}

async function newest(
  client: RactorClient,
  agent: string,
  signal: AbortSignal | undefined,
): Promise<readonly Response[]> {
  try {
    return await client.newestResponses(agent, LOOK_BACK, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (isUncertain(error)) return [];
    throw error;
  }
}

const plain = (value: unknown): unknown => parseUntrustedJson(JSON.stringify(value));
