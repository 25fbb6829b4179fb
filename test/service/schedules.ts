import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { AgentRow } from "../../src/model/agent.ts";
import type { ResponseRow } from "../../src/model/response.ts";
import type { ResponseWithSegments } from "../../src/store/state-store/responses.ts";
import { until } from "../conformance/driver/scan.ts";
import type { TestService } from "../support/service.ts";
import { type AgentOutcome, findViolations, type Outcome } from "./check-history.ts";
import { type Answer, isEnded } from "./history.ts";
import type { Part } from "./schedule-client.ts";
import { NAMES, type Step } from "./steps.ts";

const CLIENT = fileURLToPath(new URL("schedule-client.ts", import.meta.url));
/** Nothing that is left to do takes longer, for endless tasks are cancelled. */
const REST_MS = 20_000;
const TRIES = 3;

/** Two client processes against one service, for any number of schedules. */
export class Scheduler implements AsyncDisposable {
  readonly #host: TestService;
  readonly #clients: readonly ChildProcess[] = [fork(CLIENT), fork(CLIENT)];
  #count = 0;
  /** How many requests had which answer. */
  readonly statuses = new Map<number, number>();

  constructor(host: TestService) {
    this.#host = host;
  }

  /** Runs one schedule on names of its own. Throws with what it broke and the whole history. */
  async run(parts: readonly (readonly Step[])[]): Promise<void> {
    const names = Array.from({ length: NAMES }, (_, at) => `s${this.#count}-${String.fromCharCode(97 + at)}`);
    this.#count += 1;
    const { url, adminToken: token } = this.#host;
    const told = await Promise.all(
      this.#clients.map(async (child, client) => {
        const over = new AbortController();
        const { signal } = over;
        const ended = once(child, "exit", { signal }).then(() => Promise.reject(new Error("a client ended")));
        ended.catch(() => undefined);
        const answers = once(child, "message", { signal });
        child.send({ client, url, token, names, steps: parts[client] ?? [] } satisfies Part);
        const [told] = (await Promise.race([answers, ended]).finally(() => over.abort())) as [readonly Answer[]];
        return told;
      }),
    );
    const answers = told.flat().toSorted((one, other) => one.startMs - other.startMs);
    for (const { status } of answers) this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    const outcome = await this.#finish(names, answers);
    const violations = [...findViolations(answers, outcome), ...(await this.#clear(outcome))];
    if (violations.length > 0) throw new Error([...violations, "", ...answers.map(writeLine)].join("\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#clients) {
      const exited = once(child, "exit");
      child.disconnect();
      await exited;
    }
  }

  async #finish(names: readonly string[], answers: readonly Answer[]): Promise<Outcome> {
    const { store } = this.#host.service;
    const agents: AgentOutcome[] = [];
    for (const name of names) {
      const agent = await store.findAgent(name);
      if (agent !== undefined) agents.push(await this.#rest(agent));
    }
    const here = new Set(agents.flatMap(({ rows }) => rows.map(({ id }) => id)));
    const strays = new Map<string, ResponseRow | undefined>();
    for (const { id } of answers.flatMap(({ seen }) => seen))
      if (!here.has(id)) strays.set(id, await store.findResponse(id));
    return { agents, strays };
  }

  /** Waits until the agent has nothing to do, and reads what its tasks wrote. */
  async #rest(agent: AgentRow): Promise<AgentOutcome> {
    await this.#endEndless(agent);
    let rows = await this.#list(agent);
    for (const { row } of rows) await this.#awaitEnd(row.id);
    rows = await this.#list(agent);
    const marks = await this.#readMarks(agent);
    let state = "";
    const settled = until(async () => {
      state = (await this.#host.service.store.getAgent(agent.id))?.state ?? "gone";
      return state === "idle" || state === "slept";
    }, REST_MS);
    await settled.catch(() => undefined);
    return { name: agent.name, state, rows: rows.map(({ row }) => row), marks };
  }

  async #endEndless(agent: AgentRow): Promise<void> {
    for (const { row } of await this.#list(agent))
      if (!isEnded(row.status) && JSON.stringify(row.input).includes("sleep 300"))
        await this.#host.service.agents.cancelResponse(agent, row.id);
  }

  async #list(agent: AgentRow): Promise<readonly ResponseWithSegments[]> {
    return await this.#host.service.store.listResponses(agent.id, { order: "asc", limit: 1000, offset: 0 });
  }

  async #awaitEnd(id: string): Promise<ResponseWithSegments | undefined> {
    return await this.#host.service.agents.awaitResponse(id, "ended", AbortSignal.timeout(REST_MS));
  }

  /** By a task of its own, which shows that the agent still works. A sleep that was ordered before may cancel it. */
  async #readMarks(agent: AgentRow): Promise<readonly string[]> {
    const { url, adminToken } = this.#host;
    let text = "";
    for (let tries = 0; tries < TRIES; tries++) {
      const reply = await fetch(`${url}/api/v0/agents/${agent.name}/responses`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
        body: JSON.stringify({ input: { content: [{ type: "bash", content: "cat /agent/marks || true" }] }, ...WAIT }),
      });
      text = await reply.text();
      const { status, segments } = JSON.parse(text) as { status: string; segments: { output?: { stdout?: string } }[] };
      const printed = segments?.map(({ output }) => output?.stdout ?? "").join("");
      if (status === "completed") return printed.split("\n").filter((line) => line !== "");
    }
    throw new Error(`${agent.name} does not work any more: ${text.slice(0, 1000)}`);
  }

  /** What is deleted is gone. */
  async #clear({ agents }: Outcome): Promise<readonly string[]> {
    const { url, adminToken, service } = this.#host;
    const left: string[] = [];
    for (const { name, rows } of agents) {
      const authorization = `Bearer ${adminToken}`;
      const reply = await fetch(`${url}/api/v0/agents/${name}`, { method: "DELETE", headers: { authorization } });
      if (reply.status !== 200) left.push(`${name}: cannot be deleted: ${reply.status}`);
      for (const { id } of rows)
        if ((await service.store.findResponse(id)) !== undefined) left.push(`${id}: outlived its agent`);
    }
    return left;
  }
}

const WAIT = { background: false, wait_seconds: REST_MS / 1000 };

function writeLine({ startMs, endMs, seen, ...facts }: Answer): string {
  const sights = seen.map(({ id, status }) => `${id.slice(0, 8)}=${status}`).join(" ");
  return `${startMs.toFixed(1)}-${endMs.toFixed(1)} ${JSON.stringify(facts)} ${sights}`;
}
