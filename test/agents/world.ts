import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Agents, NewAgent, PostRequest } from "../../src/agents/agents.ts";
import type { AgentsTuning } from "../../src/agents/core/agent-services.ts";
import { openAgents } from "../../src/agents/open.ts";
import { type App, createApp } from "../../src/app.ts";
import type { Config } from "../../src/config/config.ts";
import { resolveHome } from "../../src/config/home.ts";
import { compileService, type ServiceConfig } from "../../src/config/service.ts";
import type { AgentRow, AgentSettings, AgentState } from "../../src/model/agent.ts";
import type { Principal } from "../../src/model/principal.ts";
import type { Segment } from "../../src/model/response.ts";
import { openStateStore } from "../../src/store/state/open.ts";
import type { ResponseWithSegments } from "../../src/store/state-store/responses.ts";
import type { StateStore } from "../../src/store/state-store.ts";
import type { TelemetryEvent } from "../../src/telemetry/telemetry.ts";
import { testHome } from "../support/home.ts";

const WAIT_MS = 30_000;

export interface WorldOptions {
  readonly service?: Partial<ServiceConfig>;
  readonly config?: Partial<Config>;
  readonly tuning?: Partial<AgentsTuning>;
  /** The data folder of another world, for a second one over it. */
  readonly root?: string;
  /** Runs when an agent's row is written, before its maker goes on: as another connection may on a database server. */
  readonly onInserted?: (agent: AgentRow) => Promise<void>;
  /** Runs before the agents start. */
  readonly beforeStart?: (app: App) => void;
  /** Another database than the embedded one. */
  readonly databaseUrl?: string;
}

export const makePrincipal = (name: string): Principal => ({ name, type: "User", scope: "write", agents: undefined });
export const ALICE = makePrincipal("alice");

/** Agents over bubblewrap and the embedded database, in a data folder of their own; no HTTP. */
export class World implements AsyncDisposable {
  readonly root: string;
  readonly app: App;
  readonly store: StateStore;
  readonly agents: Agents;
  readonly events: TelemetryEvent[] = [];
  readonly problems: unknown[] = [];
  /** What `start` found. */
  found: Awaited<ReturnType<Agents["start"]>> | undefined;
  readonly #keep: boolean;

  private constructor(root: string, app: App, options: WorldOptions) {
    this.root = root;
    this.app = app;
    this.#keep = options.root !== undefined;
    this.store = openStateStore({ folder: app.config.home.state, databaseUrl: options.databaseUrl });
    const telemetry = {
      record: (event: TelemetryEvent) => void this.events.push(event),
      problem: (where: string, error: unknown) => void this.problems.push({ where, error }),
    };
    const { fleet, executor, artifacts, config } = app;
    const store = options.onInserted ? pauseAfterInsert(this.store, options.onInserted) : this.store;
    const parts = { fleet, executor, artifacts, config, telemetry, store, nodeId: "node-test" };
    this.agents = openAgents(parts, { tickMs: 50, ...options.tuning });
  }

  static async open(options: WorldOptions = {}): Promise<World> {
    const root = options.root ?? `/var/tmp/paddock-agents-${randomBytes(4).toString("hex")}`;
    mkdirSync(root, { recursive: true, mode: 0o711 });
    const env = { ...process.env, PADDOCK_HOME: root };
    const home = { ...resolveHome(env, process.getuid?.() ?? 0), bin: testHome.bin, templates: testHome.templates };
    const service = { ...compileService({}, {}), ...options.service };
    const world = new World(root, await createApp({ env, config: { home, service, ...options.config } }), options);
    await world.store.start();
    options.beforeStart?.(world.app);
    world.found = await world.agents.start();
    return world;
  }

  async create(
    name: string,
    fields: Partial<NewAgent> = {},
    settings: Partial<AgentSettings> = {},
    by: Principal = ALICE,
  ): Promise<AgentRow> {
    return await this.agents.create(
      {
        ...{ name, description: null, metadata: {}, tags: [], prompt: null },
        ...{ idleTimeoutSeconds: 300, busyTimeoutSeconds: 3600 },
        ...fields,
        settings: { ...BARE, ...settings, limits: { ...BARE.limits, ...settings.limits } },
      },
      by,
    );
  }

  /** One item of code. */
  async post(
    agent: AgentRow,
    content: string,
    options: Partial<PostRequest> & { type?: string; by?: Principal } = {},
  ): Promise<string> {
    const { type = "bash", by = ALICE, ...request } = options;
    const post: PostRequest = {
      input: { content: [{ type, content }] },
      options: { idempotent: false },
      refuseBusy: false,
      mayWake: true,
      ...request,
    };
    return (await this.agents.post(await this.look(agent), post, by)).row.id;
  }

  async ended(responseId: string): Promise<ResponseWithSegments> {
    const found = await this.agents.awaitResponse(responseId, "ended", AbortSignal.timeout(WAIT_MS));
    if (found === undefined) throw new Error("the response is gone");
    if (found.row.finishedAt === null) throw new Error(`the response is ${found.row.status} after ${WAIT_MS} ms`);
    return found;
  }

  /** Posts, waits, and gives what the task printed. */
  async run(agent: AgentRow, content: string): Promise<string> {
    return stdoutOf(await this.ended(await this.post(agent, content)));
  }

  async look(agent: AgentRow): Promise<AgentRow> {
    const found = await this.store.getAgent(agent.id);
    if (found === undefined) throw new Error("the agent is gone");
    return found;
  }

  async reach(agent: AgentRow, state: AgentState): Promise<AgentRow> {
    return await until(async () => {
      const found = await this.look(agent);
      return found.state === state ? found : undefined;
    });
  }

  /** Until the task has printed something. */
  async printed(responseId: string): Promise<void> {
    for await (const event of this.agents.follow(responseId, undefined, AbortSignal.timeout(WAIT_MS)))
      if (event.type === "output") return;
    throw new Error("the response ended and printed nothing");
  }

  /** Segments of rows about the agent itself, oldest first. */
  async markers(agent: AgentRow): Promise<readonly Segment[]> {
    const rows = await this.store.listResponses(agent.id, { order: "asc", limit: 1000, offset: 0 });
    return rows.flatMap(({ segments }) => segments).filter(({ type }) => type === "slept" || type === "woke");
  }

  async volumes(): Promise<readonly string[]> {
    return await this.app.fleet.volumes.list();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.agents[Symbol.asyncDispose]();
    } finally {
      await this.app[Symbol.asyncDispose]();
      await this.store[Symbol.asyncDispose]();
      if (!this.#keep) rmSync(this.root, { recursive: true, force: true });
    }
  }
}

function pauseAfterInsert(store: StateStore, onInserted: (agent: AgentRow) => Promise<void>): StateStore {
  const insertAgent: StateStore["insertAgent"] = async (...args) => {
    const made = await store.insertAgent(...args);
    await onInserted(made.agent);
    return made;
  };
  const get = (_target: StateStore, name: keyof StateStore): unknown => {
    if (name === "insertAgent") return insertAgent;
    const value: unknown = store[name];
    return typeof value === "function" ? value.bind(store) : value;
  };
  return new Proxy(store, { get } as ProxyHandler<StateStore>);
}

/** A bare node: nothing to build, a sandbox in some tens of milliseconds. */
export const BARE: AgentSettings = {
  nodeType: "python",
  network: undefined,
  bare: true,
  limits: { workspace_bytes: 32 * 1024 * 1024 },
  env: {},
  setup: undefined,
  instructions: undefined,
};

export async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  const late = performance.now() + WAIT_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > late) throw new Error(`not within ${WAIT_MS} ms`);
    await sleep(10);
  }
}

export function stdoutOf({ segments }: ResponseWithSegments): string {
  const results = segments.filter(({ type }) => type === "tool_result");
  return results.map(({ output }) => (output as { readonly stdout: string }).stdout).join("");
}
