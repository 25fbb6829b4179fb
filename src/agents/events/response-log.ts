import { formatTime } from "../../lib/timestamp.ts";
import type { ResponseStatus } from "../../model/response.ts";
import type { LiveEvent } from "./live-events.ts";

/** Between two segments: how many came before, and how many events since. */
export interface Cursor {
  readonly segments: number;
  readonly events: number;
}

type NewEvent = LiveEvent extends infer Event ? (Event extends LiveEvent ? Omit<Event, "id"> : never) : never;

interface Held {
  readonly cursor: Cursor;
  readonly event: LiveEvent;
  /** Output of the whole response up to here, without and with this event. */
  readonly from: number;
  readonly to: number;
}

const MAX_HELD_BYTES = 1024 * 1024;
/** Beside its text, so that a flood of tiny pieces is bounded too. */
const EVENT_BYTES = 256;

/** What a reader has seen of a log; changed by `take`. */
export interface Position {
  cursor: Cursor;
  /** Output up to here. */
  bytes: number;
}

/**
 * What happens to one response between its segments, while it runs here. Segments themselves are read from the store;
 * this only says that there may be new ones. Holds the newest MiB: nobody who writes waits for readers.
 */
export class ResponseLog {
  #held: (Held | undefined)[] = [];
  /** How many at the beginning of `#held` are gone; their places are cut off now and then. */
  #gone = 0;
  #lastGone: Cursor | undefined;
  /** Output before each segment that was stored since the log began. */
  readonly #starts = new Map<number, number>();
  #heldBytes = 0;
  #outputBytes = 0;
  #cursor: Cursor;
  readonly #waiting = new Set<() => void>();
  #hasStatus = false;
  /** Counts what may have changed in the store. */
  version = 0;
  /** The same without what only added segments. */
  rowVersion = 0;
  /** The response runs in this process, which tells of every change. */
  isOpen = false;

  constructor(segments = 0) {
    this.#cursor = { segments, events: 0 };
  }

  status(status: ResponseStatus): void {
    this.#hasStatus = true;
    this.#add({ type: "status", status, at: formatTime() });
  }

  phase(phase: string, detail?: string, at = formatTime()): void {
    this.#add({ type: "phase", phase, at, ...(detail === undefined ? {} : { detail }) });
  }

  output(callId: string, stream: "stdout" | "stderr", text: string): void {
    if (text !== "") this.#add({ type: "output", tool_call_id: callId, stream, text }, Buffer.byteLength(text));
  }

  /** So many segments are stored: what happens from now on comes after the last of them. */
  reach(segments: number): void {
    if (segments <= this.#cursor.segments) return;
    this.#cursor = { segments, events: 0 };
    this.#starts.set(segments, this.#outputBytes);
  }

  /** Segments were stored, `segments` in all. */
  stored(segments: number): void {
    this.reach(segments);
    this.version++;
    this.#wake();
  }

  /** The row may be different now: its status, or whatever. */
  changed(): void {
    this.rowVersion++;
    this.version++;
    this.#wake();
  }

  /**
   * Where a reader stands that has seen everything up to `cursor`. When output after it is gone, it counts from the
   * segment before.
   */
  seek(cursor: Cursor): Position {
    const index = this.#findAfter(cursor);
    const last = index > this.#gone ? this.#held[index - 1] : undefined;
    if (last !== undefined && isSame(last.cursor, cursor)) return { cursor, bytes: last.to };
    const isGone = this.#lastGone !== undefined && isAfter(this.#lastGone, cursor);
    const bytes = isGone ? (this.#starts.get(cursor.segments) ?? 0) : (this.#held[index]?.from ?? this.#outputBytes);
    return { cursor, bytes };
  }

  /**
   * The next event after `position` that happened before segment `segments + 1`; first a gap when output of before it
   * is gone.
   */
  take(position: Position, segments: number): LiveEvent | undefined {
    const held = this.#held[this.#findAfter(position.cursor)];
    if (held === undefined || held.cursor.segments > segments) return undefined;
    if (held.from > position.bytes) {
      const bytes = held.from - position.bytes;
      position.bytes = held.from;
      const before = { segments: held.cursor.segments, events: held.cursor.events - 1 };
      return { id: formatId(before), type: "gap", bytes };
    }
    position.cursor = held.cursor;
    position.bytes = held.to;
    return held.event;
  }

  /** An event waits after `position`, be it behind a segment. */
  hasMore(position: Position): boolean {
    return this.#findAfter(position.cursor) < this.#held.length;
  }

  /** It holds all that happened, so a reader from the beginning is told in its place what the status became. */
  tells(status: ResponseStatus): boolean {
    return (status === "processing" || this.#hasStatus) && this.#lastGone === undefined;
  }

  get isEmpty(): boolean {
    return this.#held.length === this.#gone;
  }

  /** Resolves with the next event or change, or when `signal` aborts; true: after `timeoutMs` without any. */
  async wait(signal: AbortSignal, timeoutMs: number | undefined): Promise<boolean> {
    if (signal.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wake = (): void => resolve(false);
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => resolve(true), timeoutMs).unref();
    this.#waiting.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    const isLate = await promise;
    clearTimeout(timer);
    this.#waiting.delete(wake);
    signal.removeEventListener("abort", wake);
    return isLate;
  }

  #add(event: NewEvent, bytes = 0): void {
    this.#cursor = { segments: this.#cursor.segments, events: this.#cursor.events + 1 };
    const from = this.#outputBytes;
    this.#outputBytes += bytes;
    this.#heldBytes += bytes + EVENT_BYTES;
    const whole = { id: formatId(this.#cursor), ...event };
    this.#held.push({ cursor: this.#cursor, event: whole, from, to: this.#outputBytes });
    this.#drop();
    this.#wake();
  }

  #drop(): void {
    while (this.#heldBytes > MAX_HELD_BYTES && this.#gone < this.#held.length - 1) {
      const first = this.#held[this.#gone] as Held;
      this.#heldBytes -= first.to - first.from + EVENT_BYTES;
      this.#lastGone = first.cursor;
      this.#held[this.#gone++] = undefined;
    }
    if (this.#gone < 512 || this.#gone * 2 < this.#held.length) return;
    this.#held = this.#held.slice(this.#gone);
    this.#gone = 0;
  }

  /** Index of the first held event after `cursor`. */
  #findAfter(cursor: Cursor): number {
    let low = this.#gone;
    let high = this.#held.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isAfter((this.#held[middle] as Held).cursor, cursor)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

const isAfter = (one: Cursor, other: Cursor): boolean =>
  one.segments > other.segments || (one.segments === other.segments && one.events > other.events);

const isSame = (one: Cursor, other: Cursor): boolean => one.segments === other.segments && one.events === other.events;

export const formatId = ({ segments, events }: Cursor): string => `${segments}.${events}`;

/** Undefined for what is no id of ours. */
export function parseId(text: string | undefined): Cursor | undefined {
  const [, segments, events] = /^(\d{1,9})\.(\d{1,9})$/.exec(text ?? "") ?? [];
  return segments === undefined ? undefined : { segments: Number(segments), events: Number(events) };
}
