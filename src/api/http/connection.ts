import { setTimeout as sleep } from "node:timers/promises";
import type { FastifyReply } from "fastify";

/** Aborts when the connection closes before the answer was complete. */
export function watchClient(reply: { readonly raw: FastifyReply["raw"] }): AbortSignal {
  const controller = new AbortController();
  const { raw } = reply;
  if (raw.destroyed) controller.abort();
  raw.once("close", () => {
    if (!raw.writableFinished) controller.abort();
  });
  return controller.signal;
}

export const TICK = Symbol("tick");

/** What `promise` gives, or `TICK` when that takes longer than `timeMs`. The promise itself goes on. */
export async function raceTick<T>(promise: Promise<T>, timeMs: number): Promise<T | typeof TICK> {
  const timer = new AbortController();
  const tick = sleep(timeMs, TICK, { signal: timer.signal, ref: false });
  tick.catch(() => undefined);
  try {
    return await Promise.race([promise, tick]);
  } finally {
    timer.abort();
  }
}
