import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { BARE, type Json } from "../api/ractor/api.ts";

/** What a server acknowledged, and what it was only asked for, over all its lives. */
export class Ledger {
  /** Posts answered 200, by id. */
  readonly posts = new Map<string, Posted>();
  /** First terminal status that any answer told. */
  readonly ends = new Map<string, string>();
  readonly cancelled = new Set<string>();
  /** Agents by what is known of them: `unsure` after a request without an answer. */
  readonly agents = new Map<string, "there" | "gone" | "unsure">();
  /** Paths and contents of answered uploads. */
  readonly files = new Map<string, string>();
  unexpected: string[] = [];
}

interface Posted {
  readonly agent: string;
  readonly mark: string;
  readonly idempotent: boolean;
}

export const KEPT = ["kept-a", "kept-b", "kept-c"];
const EXPECTED: ReadonlySet<number> = new Set([200, 400, 404, 409]);
const LOADERS = 6;

/** Clients that ask without a break until `signal` aborts. What fails then was cut off by the server's death. */
export class Load {
  readonly #url: string;
  readonly #token: string;
  readonly #ledger: Ledger;
  readonly #random: () => number;
  #isOver = false;
  readonly #loops: readonly Promise<void>[];

  constructor(url: string, token: string, ledger: Ledger, random: () => number) {
    this.#url = url;
    this.#token = token;
    this.#ledger = ledger;
    this.#random = random;
    this.#loops = Array.from({ length: LOADERS }, () => this.#loop());
  }

  /** Resolves when every client knows that the server is dead. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#loops);
  }

  async #loop(): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#act();
      } catch (error) {
        // Refused or cut off: the server is dead.
        if (!(error instanceof TypeError)) throw error;
        await sleep(10);
      }
    }
  }

  async #act(): Promise<void> {
    const agent = KEPT[Math.floor(this.#random() * KEPT.length)] ?? "";
    const dice = this.#random();
    if (dice < 0.6) return await this.#post(agent);
    if (dice < 0.7) return await this.#look(agent);
    if (dice < 0.76) return await this.#cancel();
    if (dice < 0.86) return await this.#upload(agent);
    if (dice < 0.88) return void (await this.#ask("PUT", `/agents/${agent}/state`, { state: "slept" }));
    if (dice < 0.9) return void (await this.#ask("POST", `/agents/${agent}/wake`, {}));
    return await this.#makeOrRemove();
  }

  async #post(agent: string): Promise<void> {
    const mark = randomUUID();
    const idempotent = this.#random() < 0.4;
    const seconds = this.#random() < 0.5 ? 0 : this.#random() * 0.3;
    const content = `echo "begin ${mark}" >> /agent/marks\nsleep ${seconds}\necho "end ${mark}" >> /agent/marks\n`;
    const body = { input: { content: [{ type: "bash", content }] }, idempotent };
    const { status, json } = await this.#ask("POST", `/agents/${agent}/responses`, body);
    if (status === 200) this.#ledger.posts.set(json.id, { agent, mark, idempotent });
    await sleep(this.#random() * 60);
  }

  async #look(agent: string): Promise<void> {
    const { status, json } = await this.#ask("GET", `/agents/${agent}/responses?limit=100&order=desc`);
    if (status !== 200) return;
    for (const { id, status: told } of json) noteEnd(this.#ledger, id, told);
  }

  async #cancel(): Promise<void> {
    const [id, posted] = [...this.#ledger.posts].findLast(([one]) => !this.#ledger.ends.has(one)) ?? [];
    if (id === undefined) return await sleep(5);
    const { status, json } = await this.#ask("POST", `/agents/${posted?.agent}/responses/${id}/cancel`, {});
    if (status === 200 && json.cancelled) this.#ledger.cancelled.add(id);
  }

  async #upload(agent: string): Promise<void> {
    const path = `/agents/${agent}/files/write/up/${randomUUID()}`;
    const content = randomUUID();
    const { status } = await this.#ask("PUT", path, content);
    if (status === 200) this.#ledger.files.set(path, content);
  }

  /** Agents that come and go. */
  async #makeOrRemove(): Promise<void> {
    const { agents } = this.#ledger;
    const [there] = [...agents].find(([, state]) => state === "there") ?? [];
    const name = there !== undefined && this.#random() < 0.5 ? there : `temp-${randomUUID().slice(0, 8)}`;
    agents.set(name, "unsure");
    if (name === there) {
      const { status } = await this.#ask("DELETE", `/agents/${name}`);
      agents.set(name, status === 200 ? "gone" : "unsure");
    } else {
      const prompt = "```bash\nsleep 0.1\n```";
      const { status } = await this.#ask("POST", "/agents", { name, metadata: SMALL, prompt });
      agents.set(name, status === 200 ? "there" : "unsure");
    }
  }

  async #ask(method: string, path: string, body?: unknown): Promise<{ status: number; json: Json }> {
    const reply = await ask(this.#url, this.#token, method, path, body);
    if (!EXPECTED.has(reply.status)) this.#ledger.unexpected.push(`${method} ${path}: ${reply.status} ${reply.text}`);
    return reply;
  }
}

export const SMALL = { ...BARE, limits: { workspace_bytes: 16 * 1024 * 1024 } };

/** A body that is text is sent as bytes. Rejects with a TypeError when no whole answer came. */
export async function ask(
  url: string,
  token: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; text: string; json: Json }> {
  const type = typeof body === "string" ? "application/octet-stream" : "application/json";
  const reply = await fetch(`${url}/api/v0${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": type }) },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await reply.text();
  const isJson = reply.headers.get("content-type")?.includes("json") === true;
  return { status: reply.status, text, json: isJson ? JSON.parse(text) : undefined };
}

export function noteEnd({ ends }: Ledger, id: string, status: string): void {
  if (!["completed", "failed", "cancelled"].includes(status)) return;
  const before = ends.get(id) ?? status;
  if (before !== status) throw new Error(`${id} was told as ${before} and as ${status}`);
  ends.set(id, status);
}
