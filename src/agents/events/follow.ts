import { formatTime } from "../../lib/timestamp.ts";
import { isTerminalStatus, type ResponseRow } from "../../model/response.ts";
import type { ResponseReads } from "../../store/state-store/responses.ts";
import type { LiveEvent } from "./live-events.ts";
import { formatId, type Position, parseId, type ResponseLog } from "./response-log.ts";

export type FollowStore = Pick<ResponseReads, "findResponse" | "getResponse" | "listSegments">;

/** Segments read at once: a slow reader holds no more of them in memory. */
const PAGE = 8;

/**
 * The events of a response after `lastEventId`: segments from the store, in between what the log holds. The row is read
 * before the segments, so once it has ended they are all there. `pollMs`: how often to look for what another process
 * did.
 */
export async function* followLog(
  store: FollowStore,
  log: ResponseLog,
  responseId: string,
  lastEventId: string | undefined,
  pollMs: number,
  signal: AbortSignal,
): AsyncGenerator<LiveEvent> {
  const resumed = parseId(lastEventId);
  const position = log.seek(resumed ?? { segments: 0, events: 0 });
  let greets = resumed === undefined;
  for (;;) {
    const { version } = log;
    const { segments } = position.cursor;
    const hadMore = log.hasMore(position);
    const row = await store.findResponse(responseId);
    if (row === undefined || signal.aborted) return;
    if (greets) yield greet(row, log);
    greets = false;
    yield* readSegments(store, log, responseId, position);
    if (isTerminalStatus(row.status)) {
      yield makeEnd(row, position);
      return;
    }
    // Events behind a segment that the store does not show must not make this loop spin.
    const isStuck = hadMore && log.hasMore(position) && position.cursor.segments === segments;
    let isLate = false;
    while (!isLate && log.version === version && (isStuck || !log.hasMore(position))) {
      isLate = await log.wait(signal, log.isOpen && !isStuck ? undefined : pollMs);
      if (signal.aborted) return;
      yield* readEvents(log, position);
    }
  }
}

/** A response begins as `pending`; what the log tells later is not told before it. */
function greet(row: ResponseRow, log: ResponseLog): LiveEvent {
  const isTold = log.tells(row.status);
  const [status, at] = isTold ? (["pending", row.createdAt] as const) : ([row.status, row.updatedAt] as const);
  return { id: "0.0", type: "status", status, at: formatTime(at) };
}

async function* readSegments(
  store: FollowStore,
  log: ResponseLog,
  responseId: string,
  position: Position,
): AsyncGenerator<LiveEvent> {
  for (;;) {
    const { segments: before } = position.cursor;
    const page = await store.listSegments(responseId, before, PAGE);
    log.reach(before + page.length);
    for (const segment of page) {
      yield* readEvents(log, position);
      const number = position.cursor.segments + 1;
      position.cursor = { segments: number, events: 0 };
      yield { id: formatId(position.cursor), type: "segment", number, segment };
    }
    if (page.length < PAGE) break;
  }
  yield* readEvents(log, position);
}

/** What happened before the next segment. */
function* readEvents(log: ResponseLog, position: Position): Generator<LiveEvent> {
  const { segments } = position.cursor;
  for (let event = log.take(position, segments); event !== undefined; event = log.take(position, segments)) yield event;
}

function makeEnd(row: ResponseRow, { cursor }: Position): LiveEvent {
  const id = formatId({ ...cursor, events: cursor.events + 1 });
  return { id, type: "done", status: row.status, at: formatTime(row.finishedAt ?? row.updatedAt) };
}
