import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import { PaddockError } from "../../errors/error.ts";
import { backoffMs } from "../../lib/backoff.ts";
import { tryJson } from "../../lib/json.ts";
import type { WireRequest } from "../../model/remote.ts";
import { isUncertain, refusal } from "./refusal.ts";
import {
  Agent,
  Cancelled,
  FileListing,
  Login,
  parseReply,
  Response,
  ResponseCount,
  ResponseList,
  Version,
} from "./reply-schemas.ts";
import { Wire, type WireOptions, type WireReply } from "./wire.ts";

export const MAX_FILE_BYTES = 25 * 1024 * 1024;

/** Waits of the client in milliseconds; fields for tests, defaults for real servers. */
export interface ClientTimes {
  /** One ordinary request. Default 30 s. */
  readonly requestMs: number;
  /** How long a 404 on a fresh response means "not yet". Default 30 s. */
  readonly graceMs: number;
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  readonly retryBaseMs: number;
  readonly retryCapMs: number;
  /** For cancel and delete after the work itself has ended. Default 15 s. */
  readonly cleanupMs: number;
}

export const CLIENT_TIMES: ClientTimes = {
  requestMs: 30_000,
  graceMs: 30_000,
  pollMinMs: 50,
  pollMaxMs: 2500,
  retryBaseMs: 250,
  retryCapMs: 10_000,
  cleanupMs: 15_000,
};

export interface ClientOptions {
  readonly url: string;
  /** Bearer token; or log in with `login`. */
  readonly token?: string;
  readonly times?: Partial<ClientTimes>;
  /** Random source in [0, 1) of the jitter. */
  readonly random?: () => number;
}

export interface AgentRequest {
  readonly name: string;
  readonly setup?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly instructions?: string;
  readonly metadata?: unknown;
  readonly tags?: readonly string[];
  readonly idle_timeout_seconds?: number;
  readonly busy_timeout_seconds?: number;
}

type Signal = AbortSignal | undefined;
const SAFE_ATTEMPTS = 4;

/**
 * The endpoints of a Ractor server, one method each. What is safe to repeat (GET, DELETE, cancel) is repeated after
 * gateway and transport failures; a POST that creates something never is. Rules over several requests are in
 * `posting.ts` and `waiting.ts`.
 */
export class RactorClient implements AsyncDisposable {
  readonly times: ClientTimes;
  readonly random: () => number;
  readonly #wire: Wire;

  constructor(options: ClientOptions) {
    this.#wire = new Wire(options.url, options.token);
    this.times = { ...CLIENT_TIMES, ...options.times };
    this.random = options.random ?? Math.random;
  }

  get url(): string {
    return this.#wire.base;
  }

  observe(observer: (request: WireRequest) => void): () => void {
    return this.#wire.observe(observer);
  }

  /** Logs an operator in; its token serves all later requests. */
  async login(operator: string, password: string, signal?: AbortSignal): Promise<void> {
    const path = `/operators/${encodeURIComponent(operator)}/login`;
    const reply = await this.#wire.send("POST", path, {
      body: { pass: password, ttl_hours: 24 },
      signal,
      anonymous: true,
    });
    this.#wire.token = this.#read(Login, reply, "login").token;
  }

  /** A server of ours takes a token back; one that is gone already is success. */
  async revokeToken(id: string, signal?: AbortSignal): Promise<void> {
    const reply = await this.#safely("DELETE", `/auth/tokens/${encodeURIComponent(id)}`, { signal });
    if (!isSuccess(reply) && reply.status !== 404) throw refusal(reply, `revoke token ${id}`);
  }

  /**
   * Item types of explicit work that the server announces; empty on a stock server, whose `/version` says nothing of
   * use.
   */
  async readItems(signal?: AbortSignal): Promise<readonly string[]> {
    return (await this.readVersion(signal)).items;
  }

  /** What the server says it is; on a stock server the version is the same for all. */
  async readVersion(signal?: AbortSignal): Promise<{ readonly version: string; readonly items: readonly string[] }> {
    const reply = await this.#safely("GET", "/version", { signal, anonymous: true });
    const parsed = Version.safeParse(reply.status === 200 ? tryJson(reply.bytes.toString("utf8")) : undefined);
    const { version = "unknown", paddock } = parsed.success ? parsed.data : {};
    return { version: paddock?.version ?? version, items: paddock?.items ?? [] };
  }

  async createAgent(agent: AgentRequest, signal?: AbortSignal): Promise<Agent> {
    return this.#read(Agent, await this.#once("/agents", agent, signal), `create agent ${agent.name}`);
  }

  async readAgent(name: string, signal?: AbortSignal): Promise<Agent> {
    return this.#read(Agent, await this.#safely("GET", agentPath(name), { signal }), `agent ${name}`);
  }

  /** An agent that is gone already is success. */
  async deleteAgent(name: string, signal?: AbortSignal): Promise<void> {
    const reply = await this.#safely("DELETE", agentPath(name), { signal });
    if (!isSuccess(reply) && reply.status !== 404) throw refusal(reply, `delete agent ${name}`);
  }

  async wakeAgent(name: string, signal?: AbortSignal): Promise<void> {
    const reply = await this.#once(`${agentPath(name)}/wake`, {}, signal);
    if (!isSuccess(reply)) throw refusal(reply, `wake agent ${name}`);
  }

  async clearContext(name: string, signal?: AbortSignal): Promise<void> {
    const reply = await this.#safely("POST", `${agentPath(name)}/context/clear`, { signal });
    if (!isSuccess(reply)) throw refusal(reply, `clear the context of ${name}`);
  }

  /** Cancels whatever the agent has in flight; the contract names no response. */
  async cancel(name: string, signal?: AbortSignal): Promise<boolean> {
    const reply = await this.#safely("POST", `${agentPath(name)}/cancel`, { signal });
    return this.#read(Cancelled, reply, `cancel on ${name}`).cancelled ?? false;
  }

  async postResponse(name: string, content: readonly unknown[], options: PostOptions = {}): Promise<Response> {
    const { background = true, timeoutMs, signal } = options;
    const body = { input: { content }, background };
    const path = `${agentPath(name)}/responses`;
    const reply = await this.#wire.send("POST", path, { body, signal, timeoutMs: timeoutMs ?? this.times.requestMs });
    return this.#read(Response, reply, `post to ${name}`);
  }

  /**
   * `waitSeconds`: a server of ours answers when the response has ended, or as it is after so long. A stock server
   * answers at once.
   */
  async readResponse(name: string, id: string, signal?: AbortSignal, waitSeconds = 0): Promise<Response> {
    const query = waitSeconds > 0 ? `?wait=${waitSeconds}` : "";
    const timeoutMs = this.times.requestMs + waitSeconds * 1000;
    const path = `${agentPath(name)}/responses/${encodeURIComponent(id)}${query}`;
    const reply = await this.#wire.send("GET", path, { timeoutMs, signal });
    return this.#read(Response, reply, `response ${id}`);
  }

  async countResponses(name: string, signal?: AbortSignal): Promise<number> {
    const reply = await this.#safely("GET", `${agentPath(name)}/responses/count`, { signal });
    return this.#read(ResponseCount, reply, `count of ${name}`).count;
  }

  /** The newest rows, newest first. Lists are oldest first and have no order: the end is found by count and offset. */
  async newestResponses(name: string, limit: number, signal?: AbortSignal): Promise<readonly Response[]> {
    const offset = Math.max(0, (await this.countResponses(name, signal)) - limit);
    // Rows may have come since they were counted.
    const path = `${agentPath(name)}/responses?limit=${limit + 20}&offset=${offset}`;
    const reply = await this.#safely("GET", path, { signal });
    return this.#read(ResponseList, reply, `responses of ${name}`).toReversed();
  }

  /** A file below `/agent`. Throws `not_found`, and `remote_failed` above 25 MiB, which is the server's own bound. */
  async readFile(name: string, path: string, signal?: AbortSignal): Promise<Buffer> {
    const reply = await this.#safely("GET", filePath(name, "read", path), { signal, maxBytes: MAX_FILE_BYTES });
    if (reply.status === 413)
      throw new PaddockError(
        "remote_failed",
        `${path} is larger than ${MAX_FILE_BYTES} bytes (25 MiB), the most that the server reads`,
        {
          context: { kind: "request", status: 413 },
          hint: "Split or compress the file on the server first.",
        },
      );
    if (!isSuccess(reply)) throw refusal(reply, `read ${path}`);
    return reply.bytes;
  }

  async listFiles(name: string, path: string, offset: number, signal?: AbortSignal): Promise<FileListing> {
    const query = `?limit=500&offset=${offset}`;
    const reply = await this.#safely("GET", `${filePath(name, "list", path)}${query}`, { signal });
    return this.#read(FileListing, reply, `list ${path}`);
  }

  /**
   * Waits before try `attempt` (1 is the first repetition), with jitter. Returns the milliseconds; rejects with the
   * signal's reason.
   */
  async backOff(attempt: number, signal: Signal): Promise<number> {
    const { retryBaseMs: baseMs, retryCapMs: capMs } = this.times;
    const delayMs = backoffMs(attempt, { baseMs, capMs, random: this.random });
    await pause(delayMs, signal);
    return delayMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire[Symbol.asyncDispose]();
  }

  /** What may be repeated without harm. */
  async #safely(method: "GET" | "POST" | "DELETE", path: string, options: WireOptions): Promise<WireReply> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#wire.send(method, path, { ...this.#plain(options.signal), ...options }).then(
        (reply) => ({
          reply,
          failed: reply.status === 502 || reply.status === 503 || reply.status === 504,
          error: undefined,
        }),
        (error: unknown) => ({ reply: undefined, failed: true, error }),
      );
      const last = attempt >= SAFE_ATTEMPTS || (outcome.error !== undefined && !isUncertain(outcome.error));
      if (outcome.reply !== undefined && (!outcome.failed || last)) return outcome.reply;
      if (last) throw outcome.error;
      await this.backOff(attempt, options.signal);
    }
  }

  async #once(path: string, body: unknown, signal: Signal): Promise<WireReply> {
    return await this.#wire.send("POST", path, { ...this.#plain(signal), body });
  }

  #plain(signal: Signal): WireOptions {
    return { timeoutMs: this.times.requestMs, signal };
  }

  #read<Schema extends z.ZodType>(schema: Schema, reply: WireReply, what: string): z.infer<Schema> {
    if (!isSuccess(reply)) throw refusal(reply, what);
    return parseReply(schema, reply, what);
  }
}

export interface PostOptions {
  /** False keeps the request open until the task ends: gateways cut that after 60 s. Default true. */
  readonly background?: boolean;
  readonly timeoutMs?: number | undefined;
  readonly signal?: Signal;
}

export async function pause(delayMs: number, signal: Signal): Promise<void> {
  await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
}

const isSuccess = ({ status }: WireReply): boolean => status >= 200 && status < 300;

const agentPath = (name: string): string => `/agents/${encodeURIComponent(name)}`;

function filePath(name: string, operation: "read" | "list", path: string): string {
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.some((part) => part === "." || part === ".." || part.includes("\0")))
    throw new PaddockError("path_refused", `${path} is not a plain path below /agent`);
  const joined = parts.map(encodeURIComponent).join("/");
  return `${agentPath(name)}/files/${operation}${joined === "" ? "" : `/${joined}`}`;
}
