import { PaddockError } from "../errors/error.ts";
import type { PatientTimer } from "../lib/patient-timer.ts";
import type { RunOptions } from "./process.ts";

export interface CallGuardParts {
  /** Asks the supervisor to end the call. */
  readonly cancel: () => void;
  readonly kill: (why: PaddockError) => void;
  /** After its deadline or cancel a call has this long until its whole sandbox is killed. */
  readonly graceMs: number;
  /** Makes a limit on the supervisor's time. */
  readonly limit: (limitMs: number, expire: () => void) => PatientTimer;
}

/**
 * Holds a call to its deadline from outside: asks the supervisor first, kills the sandbox when that did not help. While
 * the sandbox is paused nothing counts as late; afterwards the supervisor has its grace again.
 */
export class CallGuard implements Disposable {
  readonly #options: RunOptions;
  readonly #parts: CallGuardParts;
  readonly #deadlineAt: number | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** What the grace follows on, once it runs. */
  #reason: "deadline" | "cancel" | undefined;
  #grace: PatientTimer | undefined;
  #suspended = false;
  readonly #onAbort = (): void => this.#abort();
  deadlinePassed = false;
  cancelled = false;
  killed = false;

  constructor(options: RunOptions, parts: CallGuardParts) {
    this.#options = options;
    this.#parts = parts;
    if (options.deadlineMs !== undefined) this.#deadlineAt = performance.now() + options.deadlineMs;
    this.#start();
    if (options.signal?.aborted) this.#abort();
    else options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  async killSandbox(why: string): Promise<void> {
    this.killed = true;
    this.#parts.kill(new PaddockError("sandbox_lost", `the sandbox was killed: ${why}`));
  }

  suspend(): void {
    this.#suspended = true;
    this.#stop();
  }

  resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    this.#start();
  }

  #abort(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.#parts.cancel();
    this.#reason ??= "cancel";
    this.#start();
  }

  /** Runs what is next: the time to the deadline, or the grace. */
  #start(): void {
    if (this.#suspended || this.#grace !== undefined) return;
    clearTimeout(this.#deadline);
    const reason = this.#reason;
    if (reason !== undefined) this.#grace = this.#parts.limit(this.#parts.graceMs, () => this.#expire(reason));
    else if (this.#deadlineAt !== undefined) {
      const leftMs = Math.max(0, this.#deadlineAt - performance.now());
      this.#deadline = setTimeout(() => {
        this.#reason = "deadline";
        this.#start();
      }, leftMs);
    }
  }

  #stop(): void {
    clearTimeout(this.#deadline);
    this.#grace?.[Symbol.dispose]();
    this.#grace = undefined;
  }

  #expire(reason: "deadline" | "cancel"): void {
    if (reason === "deadline") this.deadlinePassed = true;
    void this.killSandbox(`the call still lived ${this.#parts.graceMs} ms after its ${reason}`);
  }

  [Symbol.dispose](): void {
    this.#stop();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}
