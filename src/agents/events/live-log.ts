import { isTerminalStatus } from "../../model/response.ts";
import type { ResponseWithSegments } from "../../store/state-store/responses.ts";
import { type FollowStore, followLog } from "./follow.ts";
import type { LiveEvent } from "./live-events.ts";
import { ResponseLog } from "./response-log.ts";

export type { ResponseLog as LiveLog } from "./response-log.ts";

export interface LiveLogsOptions {
  /** How often a reader looks for what other processes did to a response that does not run here. Default 1 s. */
  readonly pollMs?: number;
  /** How long output is kept after the end, for readers that come back. Default 10 s. */
  readonly keepMs?: number;
}

interface Entry {
  readonly log: ResponseLog;
  readers: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * The live events of every response that runs here or is followed here. The store is the truth about rows and segments:
 * whoever writes there says so with `changed` or the log's `stored`, and readers look.
 */
export class LiveLogs implements Disposable {
  readonly #store: FollowStore;
  readonly #pollMs: number;
  readonly #keepMs: number;
  readonly #entries = new Map<string, Entry>();

  constructor(store: FollowStore, options: LiveLogsOptions = {}) {
    this.#store = store;
    this.#pollMs = options.pollMs ?? 1000;
    this.#keepMs = options.keepMs ?? 10_000;
  }

  /**
   * The response runs here from now on; `segments` are stored of it already. Until `close`, every change of it has to
   * be told.
   */
  open(responseId: string, segments = 0): ResponseLog {
    const { log } = this.#enter(responseId);
    log.isOpen = true;
    log.reach(segments);
    return log;
  }

  /** The log of a response that waits, kept until it is given back. */
  hold(responseId: string): { readonly log: ResponseLog } & Disposable {
    const entry = this.#enter(responseId);
    entry.readers++;
    return { log: entry.log, [Symbol.dispose]: () => this.#leave(responseId, entry) };
  }

  /** The row was written: it ended, was claimed, requeued, amended or removed. */
  changed(responseId: string): void {
    this.#entries.get(responseId)?.log.changed();
  }

  /** It does not run here any more. Call it after the end is stored. */
  close(responseId: string): void {
    const entry = this.#entries.get(responseId);
    if (entry === undefined) return;
    entry.log.isOpen = false;
    entry.log.changed();
    this.#dropLater(responseId, entry);
  }

  /** As `Agents.follow` says. */
  async *follow(
    responseId: string,
    lastEventId: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<LiveEvent, void, void> {
    const entry = this.#enter(responseId);
    entry.readers++;
    try {
      yield* followLog(this.#store, entry.log, responseId, lastEventId, this.#pollMs, signal);
    } finally {
      this.#leave(responseId, entry);
    }
  }

  /** As `Agents.awaitResponse` says. */
  async awaitResponse(
    responseId: string,
    until: { readonly version: number } | "ended",
    signal: AbortSignal,
  ): Promise<ResponseWithSegments | undefined> {
    const entry = this.#enter(responseId);
    entry.readers++;
    try {
      await this.#awaitRow(responseId, entry.log, until, signal);
    } finally {
      this.#leave(responseId, entry);
    }
    return await this.#store.getResponse(responseId);
  }

  /** Forgets everything. Readers go on with the store alone. */
  [Symbol.dispose](): void {
    for (const { timer, log } of this.#entries.values()) {
      clearTimeout(timer);
      log.isOpen = false;
      log.changed();
    }
    this.#entries.clear();
  }

  /** How many responses are held in memory. */
  get size(): number {
    return this.#entries.size;
  }

  async #awaitRow(
    responseId: string,
    log: ResponseLog,
    until: { readonly version: number } | "ended",
    signal: AbortSignal,
  ): Promise<void> {
    const counter = until === "ended" ? "rowVersion" : "version";
    for (;;) {
      const seen = log[counter];
      const row = await this.#store.findResponse(responseId);
      if (row === undefined || signal.aborted || isTerminalStatus(row.status)) return;
      if (until !== "ended" && row.version !== until.version) return;
      let isLate = false;
      while (!isLate && log[counter] === seen) {
        isLate = await log.wait(signal, log.isOpen ? undefined : this.#pollMs);
        if (signal.aborted) return;
      }
    }
  }

  #enter(responseId: string): Entry {
    const found = this.#entries.get(responseId);
    if (found !== undefined) {
      clearTimeout(found.timer);
      found.timer = undefined;
      return found;
    }
    const entry = { log: new ResponseLog(), readers: 0, timer: undefined };
    this.#entries.set(responseId, entry);
    return entry;
  }

  #leave(responseId: string, entry: Entry): void {
    entry.readers--;
    this.#dropLater(responseId, entry);
  }

  /** At once when it holds nothing, else after a while, unless somebody uses it again. */
  #dropLater(responseId: string, entry: Entry): void {
    if (entry.log.isOpen || entry.readers > 0 || entry.timer !== undefined) return;
    const drop = (): void => {
      if (this.#entries.get(responseId) === entry) this.#entries.delete(responseId);
    };
    if (entry.log.isEmpty) drop();
    else entry.timer = setTimeout(drop, this.#keepMs).unref();
  }
}
