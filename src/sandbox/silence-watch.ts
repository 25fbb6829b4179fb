import { PaddockError } from "../errors/error.ts";
import type { PatientTimer } from "../lib/patient-timer.ts";
import { Call } from "./call.ts";
import type { Channel } from "./channel/channel.ts";
import { DONE } from "./channel/messages.ts";
import type { SupervisorTimes } from "./times.ts";

/**
 * While calls run the supervisor must answer a ping in time. A sandbox that is paused owes no answer, and one that the
 * machine holds up has more time.
 */
export class SilenceWatch implements Disposable {
  readonly #channel: Channel;
  readonly #times: SupervisorTimes;
  readonly #silent: (error: PaddockError) => void;
  /** Runs while a ping has no answer. */
  #limit: PatientTimer | undefined;
  #active = 0;
  #interval: NodeJS.Timeout | undefined;
  #suspended = false;

  constructor(channel: Channel, times: SupervisorTimes, silent: (error: PaddockError) => void) {
    this.#channel = channel;
    this.#times = times;
    this.#silent = silent;
  }

  watchDuring(done: Promise<unknown>): void {
    this.#active += 1;
    this.#interval ??= setInterval(() => this.#ping(), this.#times.pingEveryMs);
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
    this.#answered();
  }

  resume(): void {
    this.#suspended = false;
  }

  [Symbol.dispose](): void {
    this.suspend();
    clearInterval(this.#interval);
  }

  #ping(): void {
    if (this.#suspended || this.#limit !== undefined) return;
    const { silenceMs } = this.#times;
    const limit = this.#channel.limit(silenceMs, () =>
      this.#silent(new PaddockError("supervisor_lost", `the supervisor was silent for ${silenceMs / 1000} s`)),
    );
    this.#limit = limit;
    const answered = (): void => {
      if (this.#limit === limit) this.#answered();
    };
    this.#channel.take(silenceMs, "control").then(
      (connection) =>
        new Call(this.#channel, connection, { op: "ping" }, DONE.empty, {}, "ping").done.then(answered, answered),
      () => undefined,
    );
  }

  #answered(): void {
    this.#limit?.[Symbol.dispose]();
    this.#limit = undefined;
  }
}
