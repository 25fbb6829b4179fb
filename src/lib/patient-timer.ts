const STEPS = 10;
/** In all the timer lasts so many times its limit. */
const MOST = 5;

/**
 * A limit on somebody else's time that counts only what they could use and we could notice: not while `isSlow` says
 * that they are held up, and not while our own event loop stood still.
 */
export class PatientTimer implements Disposable {
  readonly #stepMs: number;
  readonly #isSlow: () => boolean;
  readonly #expire: () => void;
  #endsAt: number;
  #counted = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(limitMs: number, isSlow: () => boolean, expire: () => void) {
    this.#stepMs = limitMs / STEPS;
    this.#isSlow = isSlow;
    this.#expire = expire;
    this.#endsAt = performance.now() + MOST * limitMs;
    this.#wait();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const due = performance.now() + this.#stepMs;
    this.#timer = setTimeout(() => this.#step(performance.now() - due), this.#stepMs);
  }

  #step(lateMs: number): void {
    const stoodStill = lateMs > this.#stepMs;
    if (stoodStill) this.#endsAt += lateMs;
    else if (!this.#isSlow()) this.#counted += 1;
    if (this.#counted < STEPS && performance.now() < this.#endsAt) this.#wait();
    else this.#expire();
  }
}
