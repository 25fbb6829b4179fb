import { type RawBuilder, sql } from "kysely";
import type { Segment } from "../../model/response.ts";
import { writeJson } from "./agent-rows.ts";
import type { Database } from "./engine/context.ts";
import { SEGMENT_BYTES } from "./principal-bytes.ts";

/** Both databases bound the parameters of a statement. */
const ROWS_PER_STATEMENT = 1000;

/** Segments as they are stored. */
export interface EncodedSegments {
  readonly texts: readonly string[];
  readonly bytes: number;
}

export function encodeSegments(segments: readonly Segment[] = []): EncodedSegments {
  const texts = segments.map(writeJson);
  return { texts, bytes: texts.reduce((bytes, text) => bytes + SEGMENT_BYTES + Buffer.byteLength(text), 0) };
}

/** What every write to a response changes, in the statement that checks whether it may. */
export function countWrite(
  now: number,
  added: EncodedSegments,
  moreBytes = 0,
): {
  readonly version: RawBuilder<number>;
  readonly updated_at: number;
  readonly segment_count: RawBuilder<number>;
  readonly bytes: RawBuilder<number>;
} {
  return {
    version: sql<number>`version + 1`,
    updated_at: now,
    segment_count: sql<number>`segment_count + ${added.texts.length}`,
    bytes: sql<number>`bytes + ${added.bytes + moreBytes}`,
  };
}

/** `count`: how many segments the response has with these. Rows of segments are never rewritten. */
export async function insertSegments(
  transaction: Database,
  responseId: string,
  count: number,
  added: EncodedSegments,
): Promise<void> {
  if (added.texts.length === 0) return;
  const first = count - added.texts.length + 1;
  const rows = added.texts.map((text, index) => ({
    response_id: responseId,
    number: first + index,
    segment_json: text,
  }));
  for (let at = 0; at < rows.length; at += ROWS_PER_STATEMENT)
    await transaction
      .insertInto("segments")
      .values(rows.slice(at, at + ROWS_PER_STATEMENT))
      .execute();
}
