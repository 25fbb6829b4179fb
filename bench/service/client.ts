import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import { z } from "zod";

const Posted = z.object({ id: z.string(), status: z.string() });
export type Posted = z.infer<typeof Posted>;
const Agent = z.object({ name: z.string(), state: z.string() });

const POLL_MS = 50;
/** Between looks at an agent that is to become idle or asleep: the resolution of those figures. */
const LOOK_MS = 2;

/**
 * A client of the service on kept connections, as a careful one would be written: it waits when it is told to, and
 * repeats nothing else.
 */
export class Client implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #headers: Readonly<Record<string, string>>;
  /** Answers 429 that were waited out. */
  refusals = 0;

  constructor(url: string, token: string) {
    this.#pool = new Pool(url, { connections: 128, headersTimeout: 0, bodyTimeout: 0 });
    this.#headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  }

  async createAgent(name: string): Promise<void> {
    await this.#send("POST", "/api/v0/agents", { name, metadata: { node_type: "python" }, idle_timeout_seconds: 3600 });
  }

  async removeAgent(name: string): Promise<void> {
    await this.#send("DELETE", `/api/v0/agents/${name}`);
  }

  async post(agent: string, fields: Readonly<Record<string, unknown>> = {}): Promise<Posted> {
    const body = { input: { content: [{ type: "python", content: "1+1" }] }, ...fields };
    return Posted.parse(await this.#send("POST", `/api/v0/agents/${agent}/responses`, body));
  }

  /** POST, then its events until the last one. */
  async runWithEvents(agent: string): Promise<string> {
    const { id } = await this.post(agent);
    const path = `/api/v0/agents/${agent}/responses/${id}/events`;
    const { statusCode, body } = await this.#pool.request({ method: "GET", path, headers: this.#headers });
    let text = "";
    for await (const chunk of body.setEncoding("utf8")) {
      text += String(chunk);
      const done = /^event: done\ndata: (.*)\n/m.exec(text)?.[1];
      if (done !== undefined) return z.object({ status: z.string() }).parse(JSON.parse(done)).status;
    }
    throw new Error(`events of ${id} ended (${statusCode}) without their end: ${text.slice(0, 300)}`);
  }

  /** POST, then one look that the server holds. */
  async runWithWait(agent: string): Promise<string> {
    const { id } = await this.post(agent);
    return (await this.awaitEnd(agent, id)).status;
  }

  /** The POST itself is held. */
  async runBlocking(agent: string): Promise<string> {
    return (await this.post(agent, { background: false })).status;
  }

  /** POST, then a look every 50 ms. */
  async runPolling(agent: string): Promise<string> {
    const { id } = await this.post(agent);
    for (;;) {
      const { status } = await this.#read(agent, id, "");
      if (status !== "pending" && status !== "processing") return status;
      await sleep(POLL_MS);
    }
  }

  async awaitEnd(agent: string, id: string): Promise<Posted> {
    for (;;) {
      const row = await this.#read(agent, id, "?wait=60");
      if (row.status !== "pending" && row.status !== "processing") return row;
    }
  }

  async awaitState(agent: string, state: string): Promise<void> {
    for (;;) {
      const found = Agent.parse(await this.#send("GET", `/api/v0/agents/${agent}`));
      if (found.state === state) return;
      await sleep(LOOK_MS);
    }
  }

  async sleepAgent(agent: string): Promise<void> {
    await this.#send("POST", `/api/v0/agents/${agent}/sleep`, { delay_seconds: 5 });
  }

  async wakeAgent(agent: string): Promise<void> {
    await this.#send("POST", `/api/v0/agents/${agent}/wake`, {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }

  async #read(agent: string, id: string, query: string): Promise<Posted> {
    return Posted.parse(await this.#send("GET", `/api/v0/agents/${agent}/responses/${id}${query}`));
  }

  async #send(method: "GET" | "POST" | "DELETE", path: string, json?: unknown): Promise<unknown> {
    for (;;) {
      const { statusCode, headers, body } = await this.#pool.request({
        method,
        path,
        headers: this.#headers,
        ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      });
      const text = await body.text();
      if (statusCode === 200) return text === "" ? undefined : JSON.parse(text);
      if (statusCode !== 429) throw new Error(`${method} ${path}: ${statusCode} ${text.slice(0, 500)}`);
      this.refusals++;
      await sleep(Math.max(1, Number(headers["retry-after"] ?? 1)) * 1000);
    }
  }
}
