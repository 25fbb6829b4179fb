import { TokenBucket } from "../lib/token-bucket.ts";

/** Lets one through per interval and tells it how many there were since the last one, itself included. */
export class RateLimit {
  readonly #bucket: TokenBucket;
  #count = 0;

  constructor(everyMs: number) {
    this.#bucket = new TokenBucket(1000 / everyMs, 1);
  }

  run(act: (count: number) => void): void {
    this.#count++;
    if (this.#bucket.take() > 0) return;
    const count = this.#count;
    this.#count = 0;
    act(count);
  }
}
