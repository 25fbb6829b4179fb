import type { RemoteRecord, WireRequest } from "../../model/remote.ts";

const MAX_LISTED = 100;
const round = (ms: number): number => Math.round(ms * 1000) / 1000;

/** Adds up what one call cost on the wire; polls can be many, so only the first requests are listed. */
export class WireAccount {
  readonly #requests: WireRequest[] = [];
  readonly backoffMs: number[] = [];
  readonly responseIds: string[] = [];
  #more = 0;
  #connectMs = 0;
  #waitMs = 0;
  #transferMs = 0;
  sentBytes = 0;
  receivedBytes = 0;

  add(request: WireRequest): void {
    if (this.#requests.length < MAX_LISTED) this.#requests.push(request);
    else this.#more++;
    this.#connectMs += request.connect_ms;
    this.#waitMs += request.wait_ms;
    this.#transferMs += request.transfer_ms;
    this.sentBytes += request.sent_bytes;
    this.receivedBytes += request.received_bytes;
  }

  get networkMs(): number {
    return round(this.#connectMs + this.#waitMs + this.#transferMs);
  }

  describe(
    facts: Pick<RemoteRecord, "url" | "agent" | "source" | "run_ms" | "unknown" | "not_enforced">,
  ): RemoteRecord {
    return {
      ...facts,
      response_ids: this.responseIds,
      requests: this.#requests,
      requests_more: this.#more,
      connect_ms: round(this.#connectMs),
      wait_ms: round(this.#waitMs),
      transfer_ms: round(this.#transferMs),
      sent_bytes: this.sentBytes,
      received_bytes: this.receivedBytes,
      backoff_ms: this.backoffMs.map(round),
    };
  }
}
