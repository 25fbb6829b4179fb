import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { TokenBucket } from "../../lib/token-bucket.ts";
import type { EgressBudgets } from "../account/budgets.ts";
import type { CallAccount } from "../account/call-account.ts";
import type { Authority } from "../address/authority.ts";
import type { TrustedUpstream } from "../address/trusted-upstreams.ts";
import type { UpstreamEdges } from "../address/upstream.ts";
import { ByteReader } from "../http/byte-reader.ts";
import type { EgressPolicy } from "../policy/policy.ts";
import { Refusal } from "../refusal.ts";
import { isSameTrust, type UpstreamLink } from "./upstream-connection.ts";

const GUEST_LEFT = 499;

/** What all guest connections of one sandbox share. */
export interface SessionShared {
  readonly policy: EgressPolicy;
  readonly edges: UpstreamEdges;
  readonly budgets: EgressBudgets;
  readonly throttle: TokenBucket;
  readonly clock: () => number;
  /** Counts bytes against the budgets; the reason once they are used up. */
  spend(tx: number, rx: number): string | undefined;
}

/**
 * Where a guest connection stands: `head` between requests, `busy` while an answer of the proxy's own can still be
 * given, `answering` once upstream bytes reached the guest, `tunnel` for good.
 */
type Phase = "head" | "busy" | "answering" | "tunnel";

/** One guest connection: its stream, its upstream, its timers, and the one way to cut it short. */
export class GuestSession {
  readonly callId: string;
  readonly stream: Duplex;
  readonly reader: ByteReader;
  readonly account: CallAccount;
  readonly shared: SessionShared;
  readonly #cut = new AbortController();
  readonly #idle: NodeJS.Timeout;
  phase: Phase = "head";
  link: UpstreamLink | undefined;
  /** Where the guest is or is being connected. */
  target: { readonly authority: Authority; readonly trusted: TrustedUpstream | undefined } | undefined;
  /** Upstream connections so far. */
  dials = 0;
  /** Bytes that crossed the upstream connection. */
  movedBytes = 0;

  constructor(stream: Duplex, callId: string, account: CallAccount, shared: SessionShared) {
    this.callId = callId;
    this.stream = stream;
    this.reader = new ByteReader(stream);
    this.account = account;
    this.shared = shared;
    const { idleTimeoutMs } = shared.budgets;
    this.#idle = setTimeout(() => this.cut(new Refusal(504, "failed", `idle for ${idleTimeoutMs} ms`)), idleTimeoutMs);
    stream.on("error", () => {});
    stream.once("close", () => this.#onGuestClosed());
  }

  get signal(): AbortSignal {
    return this.#cut.signal;
  }

  /** Nothing of the guest's is in our hands: neither unread nor unsent. */
  get isEmpty(): boolean {
    const unread = this.stream.readableLength + this.reader.queuedBytes;
    return unread === 0 && !this.stream.isPaused() && (this.link?.socket.writableLength ?? 0) === 0;
  }

  /** Why the session was cut, if it was. */
  get failure(): Refusal | undefined {
    return this.signal.reason as Refusal | undefined;
  }

  touch(): void {
    this.#idle.refresh();
  }

  /** Called for every byte that crosses the upstream connection. */
  spend(tx: number, rx: number): void {
    this.touch();
    this.movedBytes += tx + rx;
    const spent = this.shared.spend(tx, rx);
    if (spent !== undefined) this.cut(new Refusal(503, "denied", spent));
  }

  /** Waits for its turn among the sandbox's new connections. */
  async awaitTurn(): Promise<void> {
    const waitMs = this.shared.throttle.book();
    if (waitMs > 0) await delay(waitMs, undefined, { signal: this.signal }).catch(() => {});
    // A guest that hangs up while it waits must not push back the connections of later calls.
    if (waitMs > 0 && this.signal.aborted) this.shared.throttle.giveBack();
    this.signal.throwIfAborted();
  }

  /** Ends what is going on: as an answer to the guest while that is possible, otherwise by closing both sides. */
  cut(refusal: Refusal): void {
    if (this.signal.aborted) return;
    if (this.link) this.#record(this.link, refusal);
    this.#cut.abort(refusal);
    // What a guest that left had sent is still delivered.
    if (refusal.status === GUEST_LEFT) this.link?.socket.destroySoon();
    else this.link?.socket.destroy();
    if (this.phase === "head") this.reader.release();
    if (this.phase === "answering" || this.phase === "tunnel") this.stream.destroy();
  }

  /** Cuts what the new policy would not have allowed; an unused kept-alive upstream is only closed. */
  applyPolicy(policy: EgressPolicy): void {
    if (!this.target) return;
    const decision = policy.decide(this.target.authority);
    if (decision.allowed && isSameTrust(decision.trusted, this.target.trusted)) return;
    const reason = decision.allowed ? `policy "${policy.shown}": the upstream's trust changed` : decision.reason;
    if (this.phase === "head") this.dropLink();
    else this.cut(new Refusal(403, "denied", reason));
  }

  dropLink(): void {
    this.link?.socket.destroy();
    this.link = undefined;
    this.target = undefined;
  }

  endTimers(): void {
    clearTimeout(this.#idle);
  }

  /** Before anything is closed, so that whoever notices the end finds the reason in the record. */
  #record({ meter, authority }: UpstreamLink, refusal: Refusal): void {
    if (!meter.isAccepted) meter.refuse(refusal.verdict, refusal.message);
    else if (refusal.verdict === "denied") this.account.refuse(authority, "denied", refusal.message);
  }

  /** A guest that finished sending may have bytes on their way to the upstream; they are still delivered. */
  #onGuestClosed(): void {
    if (this.phase === "tunnel" && this.stream.readableEnded) this.link?.socket.destroySoon();
    else this.cut(new Refusal(GUEST_LEFT, "failed", "the guest closed the connection"));
  }
}
