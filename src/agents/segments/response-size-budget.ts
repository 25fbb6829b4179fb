import { clipText } from "../../lib/bounded-text.ts";
import type { OutputRecord, ToolCallRecord } from "../../model/record.ts";

/** Whoever reads a response reads all of its segments at once, so all together have to stay small. */
const MAX_KEPT = 8 * 1024 * 1024;
/** Every call keeps so much of each stream, and so many of its file changes, whatever came before. */
const LEAST_OUTPUT = 8 * 1024;
const LEAST_FILES = 20;

/** What the calls of one response may still keep of output, values and lists of files, in UTF-16 units. */
export class ResponseSizeBudget {
  #left = MAX_KEPT;

  /** True when a value of this length is to be kept. */
  take(length: number): boolean {
    if (length > this.#left) return false;
    this.#left -= length;
    return true;
  }

  /** The record with its streams in head and tail, and its lists cut, where there is no room for them whole. */
  fitRecord(record: ToolCallRecord): ToolCallRecord {
    const [stdout, stderr] = [this.#fitStream(record.stdout), this.#fitStream(record.stderr)];
    return { ...this.#fitFiles(record), stdout, stderr };
  }

  #fitStream(stream: OutputRecord): OutputRecord {
    const { text, isClipped } = clipText(stream.text, Math.max(LEAST_OUTPUT, Math.floor(this.#left / 2)));
    this.#left = Math.max(0, this.#left - text.length);
    if (!isClipped) return stream;
    // What was spilled is in the workspace all the same.
    const kept = stream.spill === undefined ? Buffer.byteLength(text) : stream.total_bytes - stream.dropped_bytes;
    return { ...stream, text, dropped_bytes: Math.max(stream.dropped_bytes, stream.total_bytes - kept) };
  }

  #fitFiles(record: ToolCallRecord): ToolCallRecord {
    const lists = [record.files_created, record.files_modified, record.files_deleted] as const;
    const count = lists.reduce((sum, { length }) => sum + length, 0);
    if (count <= LEAST_FILES || this.take(JSON.stringify(lists).length)) return record;
    const [created, modified, deleted] = [lists[0], lists[1], lists[2]].map((list) => list.slice(0, LEAST_FILES));
    const shown = [created, modified, deleted].reduce((sum, list) => sum + (list?.length ?? 0), 0);
    return {
      ...record,
      files_created: created ?? [],
      files_modified: modified ?? [],
      files_deleted: deleted ?? [],
      files_more: record.files_more + count - shown,
    };
  }
}
