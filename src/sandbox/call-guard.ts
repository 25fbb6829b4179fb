import { PaddockError } from "../errors/error.ts";
import type { RunOptions } from "./process.ts";

/** After its deadline or cancel a call has this long until its whole sandbox is killed. */
const GRACE_MS = 1000;

/** Holds a call to its deadline from outside: asks the supervisor first, kills the sandbox when that did not help. */
export class CallGuard implements Disposable {
  readonly #options: RunOptions;
  readonly #cancel: () => void;
  readonly #kill: (why: PaddockError) => void;
  readonly #deadline: NodeJS.Timeout | undefined;
  #grace: NodeJS.Timeout | undefined;
  readonly #onAbort = (): void => this.#abort();
  deadlinePassed = false;
  cancelled = false;
  killed = false;

  constructor(options: RunOptions, cancel: () => void, kill: (why: PaddockError) => void) {
    this.#options = options;
    this.#cancel = cancel;
    this.#kill = kill;
    if (options.deadlineMs !== undefined) {
      this.#deadline = setTimeout(() => {
        this.deadlinePassed = true;
        void this.killSandbox(`the call still lived ${GRACE_MS} ms after its deadline`);
      }, options.deadlineMs + GRACE_MS);
    }
    if (options.signal?.aborted) this.#abort();
    else options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  async killSandbox(why: string): Promise<void> {
    this.killed = true;
    this.#kill(new PaddockError("sandbox_lost", `the sandbox was killed: ${why}`));
  }

  #abort(): void {
    this.cancelled = true;
    this.#cancel();
    this.#grace ??= setTimeout(
      () => void this.killSandbox(`the call still lived ${GRACE_MS} ms after its cancel`),
      GRACE_MS,
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#grace);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}
