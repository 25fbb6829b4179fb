import { randomBytes } from "node:crypto";
import { MIB } from "../model/units.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";

const SIZE = 64 * MIB;
const PATH = "transfer.bin";
/** One piece for all transfers: what our process holds must not grow with what it moves. */
const PIECE = randomBytes(MIB);

/** Rates in MB/s (10^6 bytes), and by how many MiB the resident set of our process grew at most. */
export interface Transfer {
  readonly write: number;
  readonly read: number;
  readonly host_growth: number;
}

/** Writes 64 MiB as a stream into a file of the workspace and reads them back; nothing is kept. */
export async function timeTransfer(sandbox: Sandbox): Promise<Transfer> {
  const before = process.memoryUsage.rss();
  let highest = before;
  const look = (): void => {
    highest = Math.max(highest, process.memoryUsage.rss());
  };
  const writeMs = await timeMs(() => sandbox.files.write(PATH, makePieces(look)));
  let pending = 0;
  const readMs = await timeMs(async () => {
    const { bytes } = await sandbox.files.readTo(PATH, (chunk) => {
      pending += chunk.length;
      if (pending < MIB) return;
      pending = 0;
      look();
    });
    if (bytes !== SIZE) throw new Error(`${bytes} of ${SIZE} bytes came back`);
  });
  await sandbox.files.remove(PATH);
  return { write: rate(writeMs), read: rate(readMs), host_growth: (highest - before) / MIB };
}

async function* makePieces(look: () => void): AsyncIterable<Buffer> {
  for (let sent = 0; sent < SIZE; sent += PIECE.length) {
    look();
    yield PIECE;
  }
}

async function timeMs(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

const rate = (ms: number): number => SIZE / 1000 / ms;
