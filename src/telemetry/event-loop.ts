import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 20;
const LOOK_EVERY_MS = 1000;
/** Longest time that the loop may stand still (security: nothing a client sends may block it for longer). */
export const STALL_MS = 200;

export interface LoopLag {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Tells the lag of the event loop once a second, and forgets it again. Keeps no process alive. */
export function watchEventLoop(onLag: (lag: LoopLag) => void): Disposable {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  const timer = setInterval(() => {
    onLag({
      p50Ms: toLag(delays.percentile(50)),
      p99Ms: toLag(delays.percentile(99)),
      maxMs: toLag(delays.max),
    });
    delays.reset();
  }, LOOK_EVERY_MS);
  timer.unref();
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      delays.disable();
    },
  };
}

/** What is measured is the distance of two ticks of a timer, its own interval included. */
const toLag = (nanoseconds: number): number =>
  Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS) : 0;
