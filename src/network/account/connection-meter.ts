import type { Authority } from "../address/authority.ts";
import type { CallAccount, EgressRow } from "./call-account.ts";

/**
 * Time and bytes of one upstream connection. An interval of network time starts when resolving starts, or with the
 * guest's first byte after an answer; it ends with the last byte received before the guest sends again, or with the
 * connection when no answer came. So an idle kept-alive connection costs nothing.
 */
export class ConnectionMeter {
  readonly #account: CallAccount;
  readonly #authority: Authority;
  readonly #clock: () => number;
  readonly #onBytes: (tx: number, rx: number) => void;
  #state: "waiting" | "answered" | "ended" = "waiting";
  #since: number;
  /** Waiting time before the row is known. */
  #pendingWaitMs = 0;
  #row: EgressRow | undefined;

  constructor(
    account: CallAccount,
    authority: Authority,
    clock: () => number,
    onBytes: (tx: number, rx: number) => void,
  ) {
    this.#account = account;
    this.#authority = authority;
    this.#clock = clock;
    this.#onBytes = onBytes;
    this.#since = clock();
    account.meters.add(this);
  }

  get isAccepted(): boolean {
    return this.#row !== undefined;
  }

  /** The upstream answered the dial; what follows belongs to the next interval. */
  dialled(): void {
    this.#answer();
  }

  /** Guest bytes may flow from here on: the connection stands in the record as allowed. */
  accept(): void {
    this.#row = this.#account.row(this.#authority, "allowed");
    this.#countIn(this.#row);
  }

  sent(bytes: number): void {
    if (this.#state === "answered") {
      this.#state = "waiting";
      this.#since = this.#clock();
    }
    if (this.#row) this.#row.txBytes += bytes;
    this.#onBytes(bytes, 0);
  }

  received(bytes: number): void {
    this.#answer();
    if (this.#row) this.#row.rxBytes += bytes;
    this.#onBytes(0, bytes);
  }

  /** The connection never carried guest bytes. */
  refuse(verdict: "denied" | "failed", reason: string): void {
    this.flush();
    this.#end();
    this.#countIn(this.#account.row(this.#authority, verdict, reason));
  }

  end(): void {
    if (this.#state === "ended") return;
    this.flush();
    this.#end();
  }

  /** Accounts an open interval up to now; more can follow. */
  flush(): void {
    if (this.#state !== "waiting") return;
    const now = this.#clock();
    this.#account.busy.add(this.#since, now);
    this.#addWait(now - this.#since);
    this.#since = now;
  }

  #answer(): void {
    if (this.#state === "ended") return;
    this.flush();
    const now = this.#clock();
    if (this.#state === "answered") this.#account.busy.add(this.#since, now);
    this.#state = "answered";
    this.#since = now;
  }

  #addWait(ms: number): void {
    if (this.#row) this.#row.waitMs += ms;
    else this.#pendingWaitMs += ms;
  }

  #countIn(row: EgressRow): void {
    row.connections += 1;
    row.waitMs += this.#pendingWaitMs;
    this.#pendingWaitMs = 0;
  }

  #end(): void {
    this.#state = "ended";
    this.#account.meters.delete(this);
  }
}
