/** Largest delay a Node timer takes; larger ones fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * A point on the monotonic clock together with a signal: what every asynchronous operation takes.
 * `signal` aborts at the deadline (reason: TimeoutError) or when a parent aborts (the parent's reason).
 */
export class Deadline implements Disposable {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #detach: () => void;
  #at = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(timeoutMs: number, parent: AbortSignal | undefined) {
    this.signal = this.#controller.signal;
    this.restart(timeoutMs);
    const forward = (): void => this.#controller.abort(parent?.reason);
    if (parent?.aborted) forward();
    parent?.addEventListener("abort", forward, { once: true });
    this.#detach = () => parent?.removeEventListener("abort", forward);
  }

  static after(timeoutMs: number, parent?: AbortSignal): Deadline {
    return new Deadline(timeoutMs, parent);
  }

  /** Begins again, unless it has passed. */
  restart(timeoutMs: number): void {
    const clamped = Math.min(Math.max(timeoutMs, 1), MAX_TIMER_MS);
    const pass = (): void => this.#controller.abort(new DOMException(`after ${clamped} ms`, "TimeoutError"));
    clearTimeout(this.#timer);
    this.#at = performance.now() + clamped;
    this.#timer = setTimeout(pass, clamped);
    this.#timer.unref();
  }

  /** Milliseconds left, at least 0. */
  remainingMs(): number {
    return Math.max(0, this.#at - performance.now());
  }

  /** True when the time ran out, false when a parent cancelled or nothing happened yet. */
  get timedOut(): boolean {
    return this.signal.aborted && isTimeout(this.signal.reason);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#detach();
  }
}

/** A signal that follows another one `delayMs` later, for what must not be left in the middle. */
export function delayAbort(parent: AbortSignal, delayMs: number): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => controller.abort(parent.reason), delayMs);
  };
  if (parent.aborted) onAbort();
  else parent.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      parent.removeEventListener("abort", onAbort);
    },
  };
}

export function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}

/**
 * `promise`, or the signal's reason as soon as it aborts. The promise itself goes on; undo late results where it is
 * made.
 */
export async function raceSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // A late failure of what nobody waits for any more must not end the process.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
