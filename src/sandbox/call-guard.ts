import { PaddockError } from "../errors/error.ts";
import type { RunOptions } from "./process.ts";

/** After its deadline or cancel a call has this long until its whole sandbox is killed. */
const GRACE_MS = 1000;

/**
 * Holds a call to its deadline from outside: asks the supervisor first, kills the sandbox when that did not help. While the sandbox is
 * paused nothing counts as late; afterwards the supervisor has its grace again.
 */
export class CallGuard implements Disposable {
  readonly #options: RunOptions;
  readonly #cancel: () => void;
  readonly #kill: (why: PaddockError) => void;
  /** When the sandbox is killed (monotonic ms), and why. */
  #due: { readonly at: number; readonly why: string } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #suspended = false;
  readonly #onAbort = (): void => this.#abort();
  deadlinePassed = false;
  cancelled = false;
  killed = false;

  constructor(options: RunOptions, cancel: () => void, kill: (why: PaddockError) => void) {
    this.#options = options;
    this.#cancel = cancel;
    this.#kill = kill;
    if (options.deadlineMs !== undefined) this.#killAfter(options.deadlineMs + GRACE_MS, "deadline");
    if (options.signal?.aborted) this.#abort();
    else options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  async killSandbox(why: string): Promise<void> {
    this.killed = true;
    this.#kill(new PaddockError("sandbox_lost", `the sandbox was killed: ${why}`));
  }

  suspend(): void {
    this.#suspended = true;
    clearTimeout(this.#timer);
  }

  resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    if (this.#due) this.#killAfter(Math.max(GRACE_MS, this.#due.at - performance.now()), this.#due.why);
  }

  #abort(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.#cancel();
    const left = (this.#due?.at ?? Number.POSITIVE_INFINITY) - performance.now();
    if (left > GRACE_MS) this.#killAfter(GRACE_MS, "cancel");
  }

  #killAfter(ms: number, why: string): void {
    this.#due = { at: performance.now() + ms, why };
    clearTimeout(this.#timer);
    if (!this.#suspended) this.#timer = setTimeout(() => this.#expire(why), ms);
  }

  #expire(why: string): void {
    if (why === "deadline") this.deadlinePassed = true;
    void this.killSandbox(`the call still lived ${GRACE_MS} ms after its ${why}`);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}
