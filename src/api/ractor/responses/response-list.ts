import type { AgentId } from "../../../model/ids.ts";
import type { ResponseQuery, ResponseReads, ResponseWithSegments } from "../../../store/state-store/responses.ts";
import type { Unsent } from "../../http/clients/unsent-bytes.ts";
import type { ResponseListQuery } from "../request/query-schemas.ts";
import { viewResponse } from "./response-view.ts";

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
/**
 * A response may carry megabytes of records: so few are in memory, and turned into JSON in one turn of the event loop.
 */
const ROWS_AT_ONCE = 2;

type Rows = readonly ResponseWithSegments[];

/** The first rows of a list and, when there may be more, how to get the others. */
export async function firstRows(
  store: ResponseReads,
  agentId: AgentId,
  { limit = DEFAULT_LIMIT, offset = 0, order = "asc", status }: ResponseListQuery,
): Promise<{ rows: Rows; next: (() => AsyncGenerator<Rows>) | undefined }> {
  const query = { order, limit: Math.min(MAX_LIMIT, limit), offset, ...(status === undefined ? {} : { status }) };
  if (query.limit === 0) return { rows: [], next: undefined };
  const rows = await store.listResponses(agentId, { ...query, limit: Math.min(ROWS_AT_ONCE, query.limit) });
  const isWhole = rows.length < ROWS_AT_ONCE || query.limit === ROWS_AT_ONCE;
  return { rows, next: isWhole ? undefined : () => laterRows(store, agentId, query, rows) };
}

async function* laterRows(
  store: ResponseReads,
  agentId: AgentId,
  { limit, offset, order, status }: ResponseQuery,
  first: Rows,
): AsyncGenerator<Rows> {
  let last = first.at(-1)?.row.seq ?? 0;
  for (let taken = first.length; taken < limit; ) {
    const page = { order, limit: Math.min(ROWS_AT_ONCE, limit - taken), offset: offset + taken };
    const rows = await store.listResponses(agentId, { ...page, ...(status === undefined ? {} : { status }) });
    // A new row moves the others of a list of newest first: none is shown twice.
    const fresh = rows.filter(({ row }) => (order === "asc" ? row.seq > last : row.seq < last));
    last = fresh.at(-1)?.row.seq ?? last;
    taken += rows.length;
    yield fresh;
    if (rows.length < page.limit) return;
  }
}

/** The list as JSON, a part at a time. Breaks off when its caller leaves too many answers unread. */
export async function* writeRows(
  first: Rows,
  next: () => AsyncGenerator<Rows>,
  unsent: Unsent,
): AsyncGenerator<string> {
  const write = (rows: Rows): string => rows.map((row) => JSON.stringify(viewResponse(row))).join(",");
  let part = `[${write(first)}`;
  unsent.assertRoom(part.length);
  yield part;
  const later = next();
  // No rows are fetched for a reader that has not taken those before.
  for (; ; await unsent.drained()) {
    const { value: rows, done } = await later.next();
    if (done) break;
    if (rows.length === 0) continue;
    part = `,${write(rows)}`;
    unsent.assertRoom(part.length);
    yield part;
  }
  yield "]";
}
