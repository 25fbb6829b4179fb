import type { Duplex } from "node:stream";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { TokenBucket } from "../../lib/token-bucket.ts";
import { DEFAULT_BUDGETS, type EgressBudgets } from "../account/budgets.ts";
import { EgressLedger } from "../account/call-accounts.ts";
import { type Dial, dialAddress } from "../address/dial.ts";
import { type Resolve, resolveName } from "../address/resolver.ts";
import type { EgressPolicy } from "../policy/policy.ts";
import { Refusal, renderRefusal } from "../refusal.ts";
import { serveGuest } from "./serve.ts";
import { GuestSession, type SessionShared } from "./session.ts";

const STALLED_MS = 1000;
const LOOK_MS = 2;

export interface EgressProxyOptions {
  readonly policy: EgressPolicy;
  readonly resolver?: Resolve;
  readonly dial?: Dial;
  readonly budgets?: Partial<EgressBudgets>;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
}

/** The one way out of one sandbox. Opens no listener: connections are handed to it, already attributed to a call. */
export interface EgressProxy extends AsyncDisposable {
  readonly ledger: EgressLedger;
  /** Guest connections that are open now. */
  readonly connections: number;
  /**
   * Serves a guest connection to its end; `stream` should allow half-open (an end of one direction keeps the other).
   */
  handle(stream: Duplex, callId: string): void;
  /**
   * Resolves once nothing that guests sent in the name of the call is in the proxy's hands, so that the call's account
   * is whole. An upstream that takes nothing is waited for up to 1 s; a connection that lives on without traffic is not
   * waited for.
   */
  settle(callId: string): Promise<void>;
  readonly policy: EgressPolicy;
  /** Takes effect for every later request, and at once for connections that the new policy would not allow. */
  setPolicy(policy: EgressPolicy): void;
  /** Closes every connection and resolves when all are gone; later ones are refused. */
  close(): Promise<void>;
}

export function createEgressProxy(options: EgressProxyOptions): EgressProxy {
  return new SandboxEgress(options);
}

class SandboxEgress implements EgressProxy {
  readonly ledger = new EgressLedger();
  readonly #sessions = new Map<GuestSession, Promise<void>>();
  readonly #shared: { -readonly [K in keyof SessionShared]: SessionShared[K] };
  #txBytes = 0;
  #rxBytes = 0;
  #isClosed = false;

  constructor({
    policy,
    resolver = resolveName,
    dial = dialAddress,
    budgets: given,
    clock = () => performance.now(),
  }: EgressProxyOptions) {
    const budgets = { ...DEFAULT_BUDGETS, ...given };
    const { resolveTimeoutMs, dialTimeoutMs } = budgets;
    this.#shared = {
      policy,
      edges: { resolve: resolver, dial, resolveTimeoutMs, dialTimeoutMs },
      budgets,
      throttle: new TokenBucket(budgets.connectionsPerSecond, budgets.connectionBurst, clock),
      clock,
      spend: (tx, rx) => this.#spend(tx, rx),
    };
  }

  get policy(): EgressPolicy {
    return this.#shared.policy;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  handle(stream: Duplex, callId: string): void {
    const limit = this.#shared.budgets.connections;
    if (this.#isClosed) stream.destroy();
    else if (this.#sessions.size >= limit) refuseStream(stream, `${limit} connections are open`);
    else this.#serve(stream, callId);
  }

  async settle(callId: string): Promise<void> {
    const open = [...this.#sessions.keys()].filter((session) => session.callId === callId);
    await Promise.all(open.map((session) => awaitQuiet(session, () => this.#sessions.has(session))));
  }

  setPolicy(policy: EgressPolicy): void {
    this.#shared.policy = policy;
    for (const session of this.#sessions.keys()) session.applyPolicy(policy);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const session of this.#sessions.keys()) {
      session.cut(new Refusal(503, "failed", "the sandbox's network was closed"));
      session.stream.destroy();
    }
    await Promise.all(this.#sessions.values());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #serve(stream: Duplex, callId: string): void {
    const session = new GuestSession(stream, callId, this.ledger.open(callId), this.#shared);
    const served = serveGuest(session).finally(() => this.#sessions.delete(session));
    this.#sessions.set(session, served);
  }

  #spend(tx: number, rx: number): string | undefined {
    const { txBytes, rxBytes } = this.#shared.budgets;
    this.#txBytes += tx;
    this.#rxBytes += rx;
    if (this.#txBytes > txBytes) return `${txBytes} bytes to upstreams are used up`;
    return this.#rxBytes > rxBytes ? `${rxBytes} bytes from upstreams are used up` : undefined;
  }
}

/** Two turns without a byte prove it: in the first one what the kernel held is read. */
async function awaitQuiet(session: GuestSession, isOpen: () => boolean): Promise<void> {
  let [moved, quietTurns, changedAt] = [session.movedBytes, 0, performance.now()];
  while (isOpen() && quietTurns < 2 && performance.now() - changedAt < STALLED_MS) {
    await (quietTurns > 0 || session.isEmpty ? nextTurn() : sleep(LOOK_MS));
    if (session.movedBytes !== moved) [moved, changedAt] = [session.movedBytes, performance.now()];
    else if (session.isEmpty) quietTurns += 1;
    else quietTurns = 0;
  }
}

function refuseStream(stream: Duplex, reason: string): void {
  stream.on("error", () => {});
  const timer = setTimeout(() => stream.destroy(), 1000);
  stream.once("close", () => clearTimeout(timer));
  stream.end(renderRefusal(new Refusal(503, "denied", reason)));
  stream.resume();
}
