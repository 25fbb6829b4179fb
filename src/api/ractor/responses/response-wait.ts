import { Readable } from "node:stream";
import type { Agents } from "../../../agents/agents.ts";
import { Deadline } from "../../../lib/deadline.ts";
import type { ResponseRow } from "../../../model/response.ts";
import type { Unsent } from "../../http/clients/unsent-bytes.ts";
import { raceTick, TICK } from "../../http/connection.ts";
import { type ResponseBody, viewResponse } from "./response-view.ts";

const DEFAULT_WAIT_SECONDS = 900;
const MAX_WAIT_SECONDS = 3600;
/** Gateways give a silent connection up after 60 s. */
const KEEP_ALIVE_MS = 10_000;

/** How long a blocking POST waits, in milliseconds: the body's word, else `Prefer: wait=N`, else 15 minutes. */
export function readWait(seconds: number | null | undefined, prefer: string | string[] | undefined): number {
  const preferred = /(?:^|[,;\s])wait=(\d{1,6})(?!\d)/i.exec(String(prefer ?? ""))?.[1];
  const wanted = seconds ?? (preferred === undefined ? DEFAULT_WAIT_SECONDS : Number(preferred));
  return Math.min(MAX_WAIT_SECONDS, wanted) * 1000;
}

/**
 * A response's JSON with white space before it: one byte at once, so that head and id reach the client, one every 10 s,
 * and the object when it has ended, or as it is after `waitMs`. When the client leaves, only the waiting ends.
 */
export function answerWhenEnded(
  agents: Agents,
  row: ResponseRow,
  waitMs: number,
  { gone, unsent }: { readonly gone: AbortSignal; readonly unsent: Unsent },
): Readable {
  return Readable.from(writeWhenEnded(agents, row, waitMs, gone, unsent), { objectMode: false });
}

async function* writeWhenEnded(
  agents: Agents,
  row: ResponseRow,
  waitMs: number,
  gone: AbortSignal,
  unsent: Unsent,
): AsyncGenerator<string> {
  yield " ";
  using deadline = Deadline.after(waitMs, gone);
  const ended = agents.awaitResponse(row.id, "ended", deadline.signal);
  ended.catch(() => undefined);
  for (;;) {
    const found = await raceTick(ended, KEEP_ALIVE_MS);
    if (gone.aborted) return;
    if (found === TICK) yield " ";
    else {
      const body = JSON.stringify(found === undefined ? viewRemoved(row) : viewResponse(found));
      unsent.assertRoom(body.length);
      yield body;
      return;
    }
  }
}

/** The agent was deleted while somebody waited: that cancelled the response and removed it. */
function viewRemoved(row: ResponseRow): ResponseBody {
  const view = viewResponse({ row, segments: [] });
  const error = { code: "not_found", message: "The agent was deleted", hint: "", retryable: false };
  return { ...view, status: "cancelled", error };
}
