import { fstatSync } from "node:fs";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";

/** At most this many bytes of lines wait for a reader; what comes beyond is dropped. */
const BUFFER_BYTES = 1024 * 1024;
const LOOK_AGAIN_MS = 10;

/** Where finished log lines go. A write never waits and never throws. */
export interface LogSink {
  /** False when the line found no room or no reader, and is dropped. */
  write(line: string): boolean;
  /** Resolves when everything is handed over, or after `timeoutMs`, whichever is first. */
  flush(timeoutMs: number): Promise<void>;
}

/**
 * Standard output. A file is written by a worker thread. A pipe or socket whose reader stands still would hold such a thread, and
 * with it the end of the process, for ever; there `process.stdout` is the one writer that never blocks: what the
 * kernel does not take stays in its buffer, which is bounded here.
 */
export function openStandardOutput(): LogSink {
  return fstatSync(1).isFile() ? openFile() : openStream(process.stdout);
}

/** A stream as sink; `writableLength` is what its reader has not taken. Errors of the stream (a reader that left) count as drops. */
export function openStream(stream: Writable): LogSink {
  stream.on("error", () => {});
  return {
    write: (line) => {
      if (!stream.writable || stream.writableLength + line.length > BUFFER_BYTES) return false;
      stream.write(line);
      return true;
    },
    flush: async (timeoutMs) => {
      const end = performance.now() + timeoutMs;
      while (stream.writable && stream.writableLength > 0 && performance.now() < end) await sleep(LOOK_AGAIN_MS);
    },
  };
}

function openFile(): LogSink {
  const file = pino.destination({ dest: 1, sync: false, maxLength: BUFFER_BYTES });
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
