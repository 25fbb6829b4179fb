import { constants, fstatSync, openSync, writeSync } from "node:fs";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";

/** At most this many bytes of lines wait for a reader; what comes beyond is dropped. */
const BUFFER_BYTES = 1024 * 1024;
const TRY_AGAIN_MS = 50;
const STDOUT = 1;

/** Where finished log lines go. A write never waits and never throws. */
export interface LogSink {
  /** False when the line found no room or no reader, and is dropped. */
  write(line: string): boolean;
  /** Resolves when everything is handed over, or after `timeoutMs`, whichever is first. */
  flush(timeoutMs: number): Promise<void>;
}

/**
 * Standard output. A file is written by a worker thread. A pipe, socket or terminal whose reader stands still would
 * hold such a thread, and with it the end of the process, for ever: those are written without blocking, from a buffer
 * of ours.
 */
export function openStandardOutput(): LogSink {
  return fstatSync(STDOUT).isFile() ? openFile() : new ReaderSink(openNonBlocking());
}

/** A stream as sink; `writableLength` is what its reader has not taken. */
export function openStream(stream: Writable): LogSink {
  // A reader that left shows as lines that are dropped.
  stream.on("error", () => {});
  return {
    write: (line) => {
      if (!stream.writable || stream.writableLength + line.length > BUFFER_BYTES) return false;
      stream.write(line);
      return true;
    },
    flush: async (timeoutMs) => await waitUntil(() => !stream.writable || stream.writableLength === 0, timeoutMs),
  };
}

function openFile(): LogSink {
  const file = pino.destination({ dest: STDOUT, sync: false, maxLength: BUFFER_BYTES });
  let hasDropped = false;
  file.on("drop", () => {
    hasDropped = true;
  });
  // A full disk: the buffer keeps what fits and tries again with the next line.
  file.on("error", () => {});
  return {
    write: (line) => {
      hasDropped = false;
      file.write(line);
      return !hasDropped;
    },
    flush: async (timeoutMs) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      file.flush(() => resolve());
      await Promise.race([promise, sleep(timeoutMs, undefined, { ref: false })]);
    },
  };
}

/**
 * A descriptor of standard output that says EAGAIN instead of blocking. Opened anew it is ours alone: the flag of the
 * one we were given is shared with other processes, and starting a child that inherits it clears the flag. A socket
 * cannot be opened anew; making `process.stdout` sets the flag there.
 */
function openNonBlocking(): number {
  try {
    return openSync(`/proc/self/fd/${STDOUT}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    void process.stdout;
    return STDOUT;
  }
}

/**
 * Lines of one turn of the event loop are one write: each write costs as much as the line. What is left is written when
 * the process ends.
 */
class ReaderSink implements LogSink {
  readonly #fd: number;
  readonly #drainAtExit = (): void => this.#drain();
  #waiting: Buffer[] = [];
  #bytes = 0;
  #hasReader = true;
  #isClosed = false;
  #isScheduled = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(fd: number) {
    this.#fd = fd;
    process.once("exit", this.#drainAtExit);
  }

  write(line: string): boolean {
    const bytes = Buffer.from(line);
    if (!this.#hasReader || this.#bytes + bytes.length > BUFFER_BYTES) return false;
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    if (this.#isClosed) this.#drain();
    else this.#schedule();
    return true;
  }

  async flush(timeoutMs: number): Promise<void> {
    await waitUntil(() => {
      this.#drain();
      return this.#bytes === 0;
    }, timeoutMs);
    clearTimeout(this.#retry);
    process.off("exit", this.#drainAtExit);
    this.#isClosed = true;
  }

  #schedule(): void {
    // While the timer runs the reader is known to be behind.
    if (this.#isScheduled || this.#retry !== undefined) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#drain();
    }).unref();
  }

  #drain(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    try {
      while (this.#bytes > 0) this.#writeOnce();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") {
        this.#retry = setTimeout(() => this.#drain(), TRY_AGAIN_MS).unref();
        return;
      }
      this.#hasReader = false;
      this.#waiting = [];
      this.#bytes = 0;
    }
  }

  #writeOnce(): void {
    const all = this.#waiting.length === 1 ? this.#waiting[0] : Buffer.concat(this.#waiting, this.#bytes);
    if (all === undefined) return;
    this.#waiting = [all];
    const written = writeSync(this.#fd, all);
    this.#bytes -= written;
    this.#waiting = this.#bytes === 0 ? [] : [all.subarray(written)];
  }
}

async function waitUntil(isDone: () => boolean, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!isDone() && performance.now() < end) await sleep(10);
}
