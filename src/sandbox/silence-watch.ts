import { PaddockError } from "../errors/error.ts";
import { Call } from "./call.ts";
import type { Channel } from "./channel.ts";
import { DONE } from "./messages.ts";

const PING_EVERY_MS = 1000;
const SILENCE_MS = 3000;

/** While calls run the supervisor must answer a ping within 3 s. A sandbox that is paused owes no answer. */
export class SilenceWatch implements Disposable {
  readonly #channel: Channel;
  readonly #silent: (error: PaddockError) => void;
  readonly #waiting = new Set<NodeJS.Timeout>();
  #active = 0;
  #interval: NodeJS.Timeout | undefined;
  #suspended = false;

  constructor(channel: Channel, silent: (error: PaddockError) => void) {
    this.#channel = channel;
    this.#silent = silent;
  }

  watchDuring(done: Promise<unknown>): void {
    this.#active += 1;
    this.#interval ??= setInterval(() => this.#ping(), PING_EVERY_MS);
    const leave = (): void => {
      this.#active -= 1;
      if (this.#active > 0) return;
      clearInterval(this.#interval);
      this.#interval = undefined;
    };
    done.then(leave, leave);
  }

  suspend(): void {
    this.#suspended = true;
    for (const timer of this.#waiting) clearTimeout(timer);
    this.#waiting.clear();
  }

  resume(): void {
    this.#suspended = false;
  }

  [Symbol.dispose](): void {
    this.suspend();
    clearInterval(this.#interval);
  }

  #ping(): void {
    if (this.#suspended) return;
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      this.#silent(new PaddockError("supervisor_lost", `the supervisor was silent for ${SILENCE_MS / 1000} s`));
    }, SILENCE_MS);
    this.#waiting.add(timer);
    const answered = (): void => {
      clearTimeout(timer);
      this.#waiting.delete(timer);
    };
    this.#channel.take(SILENCE_MS).then(
      (connection) =>
        new Call(this.#channel, connection, { op: "ping" }, DONE.empty, {}, "ping").done.then(answered, answered),
      () => undefined,
    );
  }
}
