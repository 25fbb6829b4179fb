import type { FastifyReply, FastifyRequest } from "fastify";
import type { ServiceConfig } from "../../config/service.ts";
import { PaddockError } from "../../errors/error.ts";
import { KeyedCount } from "../../lib/keyed-count.ts";
import { TokenBuckets } from "../../lib/token-bucket.ts";
import type { Principal } from "../../model/principal.ts";
import { readNetwork } from "./clients/connections.ts";

/** Requests of one principal that may be open at the same time, streams and waiting ones included. */
export const MAX_OPEN_REQUESTS = 512;

/** Each login costs a fifth of a second of a core, and few run at once: one address must not use them up. */
const LOGINS_PER_SECOND = 0.5;
const LOGIN_BURST = 20;

/** What one principal, or one address without a token, may ask: nobody's flood is paid for by somebody else. */
export class Admission {
  readonly #principals: TokenBuckets;
  readonly #addresses: TokenBuckets;
  readonly #logins = new TokenBuckets(LOGINS_PER_SECOND, LOGIN_BURST);
  readonly #open = new KeyedCount();

  constructor({ ratePerSecond, rateBurst }: Pick<ServiceConfig, "ratePerSecond" | "rateBurst">) {
    this.#principals = new TokenBuckets(ratePerSecond, rateBurst);
    this.#addresses = new TokenBuckets(ratePerSecond, rateBurst);
  }

  /** Throws `rate_limited`. */
  admitAddress(request: FastifyRequest): void {
    if (request.routeOptions.url === "/health") return;
    const network = readNetwork(request.raw.socket.remoteAddress);
    assertTaken(this.#addresses.take(network));
    if (request.routeOptions.config.isLogin === true) assertTaken(this.#logins.take(network));
  }

  /** Throws `rate_limited`. The request counts as open until its connection or its answer ends. */
  admitPrincipal(principal: Principal, reply: FastifyReply): void {
    const key = `${principal.type} ${principal.name}`;
    assertTaken(this.#principals.take(key));
    if (this.#open.of(key) >= MAX_OPEN_REQUESTS)
      throw new PaddockError("rate_limited", "Too many requests at the same time");
    this.#open.add(key);
    reply.raw.once("close", () => this.#open.remove(key));
  }
}

function assertTaken(waitMs: number): void {
  if (waitMs > 0) throw new PaddockError("rate_limited", "Too many requests", { context: { retryAfterMs: waitMs } });
}
