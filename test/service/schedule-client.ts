import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, isEnded, nowMs, type Sight } from "./history.ts";
import type { Step } from "./steps.ts";

/** One client as a process of its own: takes its part of a schedule, and hands back what it was told. */
export interface Part {
  readonly client: number;
  readonly url: string;
  readonly token: string;
  readonly names: readonly string[];
  readonly steps: readonly Step[];
}

/** An answer that takes longer is a failure of the schedule. */
const ANSWER_MS = 20_000;
const WAIT_SECONDS = 2;
const BARE = { bare: true, node_type: "python", limits: { workspace_bytes: 16 * 1024 * 1024 } };
const SECONDS = { instant: "", short: "sleep 0.05\n", endless: "sleep 300\n" };

interface Reply {
  readonly status: number;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

class Client {
  readonly #part: Part;
  readonly answers: Answer[] = [];
  /** Of this client's own posts, by agent. */
  readonly #posted = new Map<string, string[]>();

  constructor(part: Part) {
    this.#part = part;
  }

  async take(step: Step): Promise<unknown> {
    if (step.kind === "pause") return await sleep(step.ms);
    const name = this.#part.names[step.name] ?? "";
    const agent = `/agents/${name}`;
    switch (step.kind) {
      case "create":
        return await this.#ask(step.kind, name, "POST", "/agents", {
          body: { name, metadata: BARE, ...(step.prompt ? { prompt: "```bash\necho prompted\n```" } : {}) },
          ...(step.key === null ? {} : { key: `create-${name}-${step.key}-${step.prompt}` }),
        });
      case "post":
        return await this.#post(step, name);
      case "end":
        return await this.#end(step, name);
      case "sleep":
        return await this.#ask(step.kind, name, "PUT", `${agent}/state`, { body: { state: "slept" } });
      case "delay":
        return await this.#ask(step.kind, name, "POST", `${agent}/sleep`, { body: { delay_seconds: 5 } });
      case "wakeUp":
        return await this.#ask(step.kind, name, "POST", `${agent}/wake`, {
          body: { prompt: "```bash\necho woken\n```" },
        });
      case "settle":
        return await this.#ask(step.kind, name, "PUT", `${agent}/state`, { body: { state: "idle" } });
      case "delete":
        return await this.#ask(step.kind, name, "DELETE", agent);
      case "remix":
        return await this.#ask(step.kind, name, "POST", `${agent}/remix`, { body: { name: this.#part.names.at(-1) } });
      case "look":
        return await this.#ask(step.kind, name, "GET", agent);
      case "list":
        return await this.#ask(step.kind, name, "GET", `${agent}/responses?limit=1000`);
      case "upload":
        return await this.#ask(step.kind, name, "PUT", `${agent}/files/write/data/up`, { raw: `${this.#part.client}` });
      case "read":
        return await this.#ask(step.kind, name, "GET", `${agent}/files/read/data/up`);
      case "cancel":
      case "wake":
        return await this.#ask(step.kind, name, "POST", `${agent}/${step.kind}`, { body: {} });
    }
  }

  /** Each task writes where it begins and ends into its workspace: with one key, both clients' are the same. */
  async #post(step: Extract<Step, { kind: "post" }>, name: string): Promise<void> {
    const key = step.key === null ? undefined : `post-${name}-${step.key}-${step.work}`;
    const mark = key ?? randomUUID();
    const content = `echo "begin ${mark} $$" >> /agent/marks\n${SECONDS[step.work]}echo "end ${mark} $$" >> /agent/marks\n`;
    const waits = step.waits && step.work !== "endless" ? { background: false, wait_seconds: WAIT_SECONDS } : {};
    const body = {
      input: { content: [{ type: "bash", content }] },
      ...waits,
      ...(step.refuse ? { if_busy: "refuse" } : {}),
    };
    const id = await this.#ask("post", name, "POST", `/agents/${name}/responses`, {
      body,
      said: mark,
      ...(key === undefined ? {} : { key }),
    });
    if (id !== undefined) this.#posted.set(name, [...(this.#posted.get(name) ?? []), id]);
  }

  async #end({ how, newest }: Extract<Step, { kind: "end" }>, name: string): Promise<void> {
    const responseId = this.#posted.get(name)?.at(newest ? -1 : 0);
    if (responseId === undefined) return;
    const path = `/agents/${name}/responses/${responseId}`;
    if (how === "cancel") await this.#ask("cancelOne", name, "POST", `${path}/cancel`, { body: {}, responseId });
    else await this.#ask("put", name, "PUT", path, { body: { status: "completed" }, said: "completed", responseId });
  }

  async #ask(
    kind: string,
    name: string,
    method: string,
    path: string,
    sent: { body?: object; raw?: string; key?: string; said?: string; responseId?: string } = {},
  ): Promise<string | undefined> {
    const { body, raw, ...facts } = sent;
    const startMs = nowMs();
    const reply = await this.#send(method, path, body === undefined ? raw : JSON.stringify(body), sent.key);
    const sights = (Array.isArray(reply.json) ? reply.json : [reply.json]).flatMap(readSight);
    const { cancelled, state } = reply.json as { cancelled?: boolean; state?: string };
    this.answers.push({
      ...{
        client: this.#part.client,
        kind,
        name,
        startMs,
        endMs: nowMs(),
        status: reply.status,
        seen: sights,
        ...facts,
      },
      ...(cancelled === undefined ? {} : { cancelled }),
      ...(state === undefined ? {} : { state }),
      ...(reply.status === 200 ? {} : { text: reply.text.slice(0, 300) }),
    });
    return sights[0]?.id;
  }

  async #send(method: string, path: string, body: string | undefined, key: string | undefined): Promise<Reply> {
    const type = body?.startsWith("{") === true ? "application/json" : "application/octet-stream";
    try {
      const reply = await fetch(`${this.#part.url}/api/v0${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.#part.token}`,
          ...(body === undefined ? {} : { "content-type": type }),
          ...(key === undefined ? {} : { "idempotency-key": key }),
        },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      const text = await reply.text();
      return { status: reply.status, text, json: readJson(text) };
    } catch (error) {
      return { status: 0, text: String(error), json: {} };
    }
  }
}

function readSight(value: unknown): Sight[] {
  const { id, status, attempts, finished_at } = value as Record<string, unknown>;
  if (typeof id !== "string" || typeof status !== "string") return [];
  return [{ id, status, attempts: Number(attempts), finishedAt: isEnded(status) ? String(finished_at) : null }];
}

function readJson(text: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null ? (json as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

async function takePart(part: Part): Promise<void> {
  const client = new Client(part);
  for (const step of part.steps) await client.take(step);
  process.send?.(client.answers);
}

// What fails in it ends this process, which the other side sees.
process.on("message", (part: Part) => void takePart(part));
process.on("disconnect", () => process.exit());
