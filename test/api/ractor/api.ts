import { request as openRequest } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";

/** Whatever came over the wire; a test looks into it freely. */
export type Json = ReturnType<typeof JSON.parse>;

/** The wire as a client has it: nothing here knows what the server's code knows. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Undefined when the body is no JSON. */
  readonly json: Json;
}

export interface Ask {
  readonly token?: string;
  /** Sent as JSON unless it is a string or bytes. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export class Api {
  readonly url: string;
  readonly token: string;

  constructor(url: string, token: string) {
    this.url = `${url}/api/v0`;
    this.token = token;
  }

  as(token: string): Api {
    return new Api(this.url.slice(0, -"/api/v0".length), token);
  }

  async ask(method: string, path: string, ask: Ask = {}): Promise<Reply> {
    const isRaw = typeof ask.body === "string" || ask.body instanceof Uint8Array;
    const reply = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${ask.token ?? this.token}`,
        ...(ask.body === undefined || isRaw ? {} : { "content-type": "application/json" }),
        ...ask.headers,
      },
      ...(ask.body === undefined ? {} : { body: isRaw ? (ask.body as string) : JSON.stringify(ask.body) }),
      ...(ask.signal ? { signal: ask.signal } : {}),
    });
    const text = await reply.text();
    return { status: reply.status, headers: reply.headers, text, json: tryJson(text) };
  }

  get = (path: string, ask?: Ask): Promise<Reply> => this.ask("GET", path, ask);
  post = (path: string, body?: unknown, ask: Ask = {}): Promise<Reply> => this.ask("POST", path, { ...ask, body });
  put = (path: string, body?: unknown, ask: Ask = {}): Promise<Reply> => this.ask("PUT", path, { ...ask, body });
  delete = (path: string, ask?: Ask): Promise<Reply> => this.ask("DELETE", path, ask);

  /** A new agent without a template; tasks start at once. */
  async makeAgent(name: string, more: object = {}): Promise<void> {
    const reply = await this.post("/agents", { name, metadata: BARE, ...more });
    expect([reply.status, reply.text]).toEqual([200, expect.stringContaining(`"${name}"`)]);
  }

  /** Runs bash and returns the ended response. */
  async run(name: string, source: string): Promise<Json> {
    const reply = await this.post(`/agents/${name}/responses`, { input: bash(source), background: false });
    expect([reply.status, reply.json?.status]).toEqual([200, "completed"]);
    return reply.json;
  }

  async awaitEnded(name: string, id: string): Promise<Json> {
    const reply = await this.get(`/agents/${name}/responses/${id}?wait=60`);
    expect(["completed", "failed", "cancelled"]).toContain(reply.json?.status);
    return reply.json;
  }

  /** Looks at the agent until it is as wanted; nothing else tells a client. */
  async awaitState(name: string, state: string): Promise<Json> {
    for (const end = Date.now() + 30_000; ; await sleep(20)) {
      const { json } = await this.get(`/agents/${name}`);
      if (json?.state === state) return json;
      if (Date.now() > end) throw new Error(`${name} is ${json?.state}, not ${state}`);
    }
  }
}

export const BARE = { bare: true, node_type: "python" };
export const bash = (source: string) => ({ content: [{ type: "bash", content: source }] });

/** Sends a path as it is: `fetch` would take out `..` and what else it knows better. */
export function sendRaw(
  method: string,
  url: string,
  rawPath: string,
  token: string,
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const { hostname, port } = new URL(url);
  const headers = { authorization: `Bearer ${token}` };
  const request = openRequest({ hostname, port, method, path: rawPath, headers, agent: false }, (reply) => {
    const chunks: Buffer[] = [];
    reply.on("data", (chunk: Buffer) => chunks.push(chunk));
    reply.on("end", () => resolve({ status: reply.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    reply.on("error", reject);
  });
  request.on("error", reject);
  request.end();
  return promise;
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
