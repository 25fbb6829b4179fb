import type { Readable } from "node:stream";
import { Agent, buildConnector, request } from "undici";
import { PaddockError } from "../../errors/error.ts";
import { Deadline } from "../../lib/deadline.ts";
import type { WireRequest } from "../../model/remote.ts";
import { MIB } from "../../model/units.ts";

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_BYTES = 32 * MIB;

export interface WireOptions {
  readonly body?: unknown;
  /** For the whole exchange. Default 30 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** A longer answer is refused. Default 32 MiB. */
  readonly maxBytes?: number;
  /** Without the token. */
  readonly anonymous?: boolean;
}

export interface WireReply {
  readonly status: number;
  readonly contentType: string;
  readonly bytes: Buffer;
}

/**
 * One server: its address, its connections and the account of every request. Holds the token and shows it to nobody.
 */
export class Wire implements AsyncDisposable {
  readonly base: string;
  readonly #agent: Agent;
  #token: string | undefined;
  #connectMs = 0;
  readonly #observers = new Set<(request: WireRequest) => void>();

  /**
   * `url` with or without `/api/v0`. Throws `invalid_request` for what is no http or https URL, or one that holds
   * credentials.
   */
  constructor(url: string, token?: string) {
    this.base = parseBase(url);
    this.#token = token === undefined ? undefined : checkToken(token);
    const connect = buildConnector({ timeout: 10_000 });
    this.#agent = new Agent({
      // Deadlines are the caller's, per request.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (options, callback) => {
        const begun = performance.now();
        connect(options, (...result) => {
          this.#connectMs += performance.now() - begun;
          callback(...result);
        });
      },
    });
  }

  set token(token: string) {
    this.#token = checkToken(token);
  }

  /** Sees every request once it has ended, until the returned function is called. */
  observe(observer: (request: WireRequest) => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /**
   * One request, never repeated here. Any status is a reply; throws `remote_unavailable` when no whole reply came (then
   * nobody knows whether the server acted), `timeout`, and the signal's reason.
   */
  async send(method: "GET" | "POST" | "PUT" | "DELETE", path: string, options: WireOptions = {}): Promise<WireReply> {
    options.signal?.throwIfAborted();
    using deadline = Deadline.after(options.timeoutMs ?? DEFAULT_TIMEOUT_MS, options.signal);
    const payload = options.body === undefined ? undefined : JSON.stringify(options.body);
    const clock = new ExchangeClock(() => this.#connectMs);
    const account = { method, path, sentBytes: payload === undefined ? 0 : Buffer.byteLength(payload) };
    try {
      const reply = await request(`${this.base}${path}`, {
        method,
        dispatcher: this.#agent,
        signal: deadline.signal,
        headers: this.#headers(payload !== undefined, options.anonymous ?? false),
        ...(payload === undefined ? {} : { body: payload }),
      });
      clock.answered();
      const bytes = await readBounded(reply.body, options.maxBytes ?? DEFAULT_MAX_BYTES);
      this.#report({ ...account, status: reply.statusCode, receivedBytes: bytes.length }, clock);
      const type = reply.headers["content-type"];
      return { status: reply.statusCode, contentType: typeof type === "string" ? type : "", bytes };
    } catch (thrown) {
      const error = explain(thrown, deadline, `${method} ${path}`);
      this.#report({ ...account, receivedBytes: 0, error: codeOf(error) }, clock);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  #headers(hasBody: boolean, anonymous: boolean): Record<string, string> {
    return {
      accept: "application/json, */*;q=0.1",
      // The server refuses JSON without it, and refuses an empty body that claims to be JSON.
      ...(hasBody ? { "content-type": "application/json" } : {}),
      ...(this.#token === undefined || anonymous ? {} : { authorization: `Bearer ${this.#token}` }),
    };
  }

  #report(facts: Facts, clock: ExchangeClock): void {
    const { sentBytes, receivedBytes, ...names } = facts;
    const row = { ...names, ...clock.finish(), sent_bytes: sentBytes, received_bytes: receivedBytes };
    for (const observer of this.#observers) observer(row);
  }
}

type Facts = Pick<WireRequest, "method" | "path" | "status" | "error"> & {
  readonly sentBytes: number;
  readonly receivedBytes: number;
};

/** Splits a request's time: new connections, waiting for the answer's head, its body. */
class ExchangeClock {
  readonly #start = new Date().toISOString();
  readonly #begun = performance.now();
  readonly #connectMs: () => number;
  readonly #connectBefore: number;
  #answered: number | undefined;

  constructor(connectMs: () => number) {
    this.#connectMs = connectMs;
    this.#connectBefore = connectMs();
  }

  answered(): void {
    this.#answered = performance.now();
  }

  finish(): Pick<WireRequest, "start_time" | "connect_ms" | "wait_ms" | "transfer_ms"> {
    const now = performance.now();
    const head = this.#answered ?? now;
    const connect = Math.min(this.#connectMs() - this.#connectBefore, head - this.#begun);
    const round = (ms: number): number => Math.round(ms * 1000) / 1000;
    return {
      start_time: this.#start,
      connect_ms: round(connect),
      wait_ms: round(head - this.#begun - connect),
      transfer_ms: round(now - head),
    };
  }
}

class TooLarge extends Error {}

async function readBounded(body: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      body.destroy();
      throw new TooLarge(`the answer is larger than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function explain(thrown: unknown, deadline: Deadline, what: string): unknown {
  if (deadline.timedOut) return new PaddockError("timeout", `${what}: no answer in time`, { cause: thrown });
  if (deadline.signal.aborted) return deadline.signal.reason;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof TooLarge) return new PaddockError("remote_failed", `${what}: ${message}`);
  return new PaddockError("remote_unavailable", `${what}: ${message}`, {
    cause: thrown,
    context: { kind: "transport" },
  });
}

const codeOf = (error: unknown): string => (error instanceof PaddockError ? error.code : "cancelled");

function parseBase(text: string): string {
  const url = URL.parse(text);
  const fits = url !== null && (url.protocol === "http:" || url.protocol === "https:");
  if (!fits || url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    throw new PaddockError(
      "invalid_request",
      "the remote must be an http or https URL without user, query or fragment",
    );
  const path = url.pathname.replace(/\/+$/, "");
  return `${url.origin}${path.endsWith("/api/v0") ? path : `${path}/api/v0`}`;
}

function checkToken(token: string): string {
  const trimmed = token.trim();
  if (/^[\x21-\x7e]+$/.test(trimmed)) return trimmed;
  throw new PaddockError("invalid_request", "the token must be printable characters without spaces");
}
