import { randomUUID } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { StockContainer } from "./stock-agent.ts";

/** Faults of one kind of request, used up one per request: `cut` closes the connection in the middle of the answer. */
export type Fault = "cut" | "html502" | "html504" | "broken" | "slow";

/** What a stock server and the gateway before it do wrong, scaled to the time of tests. */
export interface Quirks {
  /** A row exists only this long after its POST was answered. */
  lateRowMs?: number;
  /** The gateway ends a blocking POST after this. */
  gatewayMs?: number;
  /** How many POSTs meet a busy agent. */
  busy?: number;
  contextFull?: boolean;
  /** Faults before a GET is answered. */
  get?: Fault[];
  /** Faults after a POST of a response was taken. */
  post?: Fault[];
  /** An agent exists only this long after it was asked for, whether the client still waits or not. */
  lateAgentMs?: number;
  /** Faults after an agent was made. */
  create?: Fault[];
  delete?: Fault[];
  /** POSTs whose connection ends before anything is taken. */
  dropPost?: number;
  /** Tasks in which the model does something else. */
  ignore?: number;
  /** Rows that never move. */
  stuck?: boolean;
  /** Setup code is written too late and skipped. */
  skipSetup?: boolean;
  /** Setup finds an interpreter that cannot make environments. */
  breakEnvironment?: boolean;
  /** New agents fall asleep before their setup. */
  asleep?: boolean;
  /** Results below `.paddock/results` cannot be read. */
  hideResults?: boolean;
  /** What the server says of an exit; default: null for 0, else the code. */
  exitCode?: (code: number | null) => number | null;
  /** Drop the model's faithful copy of the first line. */
  hideMark?: boolean;
  thinkMs?: number;
  /**
   * Makes it a server that announces explicit work, and does it so; given the row's first item. May set what the row
   * ends as.
   */
  takeCalls?: (content: unknown, row: Row) => Promise<readonly Json[]>;
}

type Json = Record<string, unknown>;
export interface Row extends Json {
  id: string;
  status: string;
  input_content: unknown[];
  segments: Json[];
  output_content: unknown[];
  visibleAt: number;
}
interface StockAgent {
  name: string;
  state: string;
  metadata: unknown;
  setup: string | undefined;
  container: StockContainer;
  rows: Row[];
}

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Json;
}

const NAME = /^[A-Za-z][A-Za-z0-9-]{0,62}[A-Za-z0-9]$/;
const wholeSeconds = (): string => `${new Date().toISOString().slice(0, 19)}+00:00`;

/**
 * A stock server of the agents and responses generation at the wire, with a model that does what it is told. Each task
 * really runs.
 */
export class StockServer implements AsyncDisposable {
  readonly quirks: Quirks;
  readonly seen: Seen[] = [];
  readonly agents = new Map<string, StockAgent>();
  /** Names of agents that were there to be deleted. */
  readonly deleted: string[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) json(response, 500, { message: `Internal error: ${String(error)}` });
    });
  });

  private constructor(quirks: Quirks) {
    this.quirks = quirks;
  }

  static async start(quirks: Quirks = {}): Promise<StockServer> {
    const server = new StockServer(quirks);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  count(method: string, path: RegExp): number {
    return this.seen.filter((one) => one.method === method && path.test(one.path)).length;
  }

  addAgent(name: string): StockAgent {
    const agent = {
      name,
      state: "idle",
      metadata: {},
      setup: undefined,
      container: new StockContainer(undefined),
      rows: [],
    };
    this.agents.set(name, agent);
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await Promise.all(this.#running);
    for (const { container } of this.agents.values()) container.remove();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const raw = await text(request);
    const method = request.method ?? "";
    const url = new URL(request.url ?? "/", "http://stock");
    const path = url.pathname.replace("/api/v0", "");
    const body = (raw === "" ? {} : JSON.parse(raw)) as Json;
    this.seen.push({ method, path, authorization: request.headers.authorization, body });
    const announced = this.quirks.takeCalls === undefined ? {} : { paddock: { items: ["bash", "tool_calls"] } };
    if (path === "/version") return json(response, 200, { version: "0.5.3", api: "v0", ...announced });
    if (path.endsWith("/login")) return this.#login(response, body);
    if (request.headers.authorization !== "Bearer good-token") return json(response, 401, { message: "Unauthorized" });
    if (method === "POST" && request.headers["content-type"] === undefined && /\/(?:agents|responses|wake)$/.test(path))
      return plain(response, 415, "Expected request with `Content-Type: application/json`");
    const fault = method === "GET" ? this.quirks.get?.shift() : undefined;
    if (fault !== undefined) return await fail(response, fault);
    if (path === "/agents" && method === "POST") return await this.#create(response, body);
    const [, , name = "", ...rest] = path.split("/");
    const agent = this.agents.get(decodeURIComponent(name));
    if (agent === undefined) return json(response, 404, { message: "Agent not found" });
    return await this.#route(response, agent, `${method} ${rest[0] ?? ""}`, { rest, body, url });
  }

  async #route(
    response: ServerResponse,
    agent: StockAgent,
    operation: string,
    { rest, body, url }: { rest: string[]; body: Json; url: URL },
  ): Promise<unknown> {
    switch (operation) {
      case "GET ":
        return json(response, 200, describeAgent(agent));
      case "DELETE ": {
        this.agents.delete(agent.name);
        this.deleted.push(agent.name);
        agent.container.remove();
        const fault = this.quirks.delete?.shift();
        return fault === undefined ? plain(response, 200, "") : await fail(response, fault);
      }
      case "POST wake":
        if (agent.state !== "slept")
          return json(response, 400, {
            message: `Cannot wake agent in ${agent.state} state - only sleeping agents can be woken`,
          });
        agent.rows.push(marker("woke"));
        this.#boot(agent);
        return json(response, 200, describeAgent(agent));
      case "POST cancel":
        return json(response, 200, { status: "ok", agent: agent.name, cancelled: cancelNewest(agent) });
      case "POST context":
        this.quirks.contextFull = false;
        agent.rows.push(marker("context_cleared"));
        return json(response, 200, { agent: agent.name, used_tokens_estimated: 0 });
      case "GET files":
        return this.#files(response, agent, rest);
      case "POST responses":
        return await this.#post(response, agent, body);
      case "GET responses":
        return getResponses(response, agent, rest[1], url);
      default:
        return plain(response, 404, "");
    }
  }

  #login(response: ServerResponse, body: Json): unknown {
    if (body["pass"] === undefined)
      return plain(response, 422, "Failed to deserialize the JSON body into the target type: missing field `pass`");
    if (body["pass"] !== "secret-pass") return json(response, 401, { message: "Unauthorized" });
    return json(response, 200, {
      token: "good-token",
      token_type: "Bearer",
      expires_at: wholeSeconds(),
      user: "admin",
      role: "admin",
    });
  }

  async #create(response: ServerResponse, body: Json): Promise<unknown> {
    const name = String(body["name"]);
    if (!NAME.test(name))
      return plain(
        response,
        422,
        "Failed to deserialize the JSON body into the target type: name: invalid at line 1 column 9",
      );
    if (this.agents.has(name))
      return json(response, 409, { message: `Agent name '${name}' already exists. Choose a different name.` });
    const setup = body["setup"] as string | undefined;
    await sleep(this.quirks.lateAgentMs ?? 0);
    const agent: StockAgent = {
      name,
      state: "init",
      metadata: body["metadata"] ?? {},
      setup,
      container: new StockContainer(setup),
      rows: [],
    };
    this.agents.set(name, agent);
    if (this.quirks.asleep) {
      agent.state = "slept";
      agent.rows.push(marker("slept"));
    } else this.#boot(agent);
    const fault = this.quirks.create?.shift();
    if (fault !== undefined) return await fail(response, fault);
    return json(response, 200, describeAgent(agent));
  }

  #boot(agent: StockAgent): void {
    agent.state = "init";
    this.#track(async () => {
      if (agent.setup !== undefined && !this.quirks.skipSetup)
        await agent.container.run(
          `${this.quirks.breakEnvironment ? "export PADDOCK_PYTHON=/usr/bin/false; " : ""}bash /agent/code/setup.sh`,
        );
      if (agent.state === "init") agent.state = "idle";
    });
  }

  async #post(response: ServerResponse, agent: StockAgent, body: Json): Promise<unknown> {
    if ((this.quirks.dropPost ?? 0) > 0) {
      this.quirks.dropPost = (this.quirks.dropPost ?? 0) - 1;
      return response.destroy();
    }
    if (body["input"] === undefined) return plain(response, 422, "Failed to deserialize: missing field `input`");
    if (this.quirks.contextFull)
      return json(response, 409, {
        message: `Context is full (128001 / 128000 tokens). Clear context via POST /api/v0/agents/${agent.name}/context/clear and try again.`,
      });
    if ((this.quirks.busy ?? 0) > 0 || agent.state === "busy") {
      this.quirks.busy = (this.quirks.busy ?? 1) - 1;
      return json(response, 409, { message: "Agent is busy" });
    }
    agent.state = "busy";
    const row: Row = {
      id: randomUUID(),
      agent_name: agent.name,
      status: "pending",
      input_content: ((body["input"] as Json)["content"] ?? []) as unknown[],
      output_content: [],
      segments: [],
      created_at: wholeSeconds(),
      updated_at: wholeSeconds(),
      visibleAt: performance.now() + (this.quirks.lateRowMs ?? 0),
    };
    agent.rows.push(row);
    const stub = describeRow(row);
    if (!this.quirks.stuck) this.#track(() => this.#work(agent, row));
    const fault = this.quirks.post?.shift();
    if (fault !== undefined) return await fail(response, fault);
    if (body["background"] !== false) return json(response, 200, stub);
    const until = performance.now() + (this.quirks.gatewayMs ?? 60_000);
    while (row.status !== "completed" && performance.now() < until) await sleep(10);
    return row.status === "completed" ? json(response, 200, describeRow(row)) : await fail(response, "html504");
  }

  /** The model: one shell call with the line it was given, then the output call. Segments are appended as it goes. */
  async #work(agent: StockAgent, row: Row): Promise<void> {
    await sleep(this.quirks.thinkMs ?? 5);
    const content = (row.input_content[0] as Json | undefined)?.["content"];
    if (this.quirks.takeCalls !== undefined) {
      row.segments.push(...(await this.quirks.takeCalls(content, row)));
      if (row.status === "pending") row.status = "completed";
      agent.state = "idle";
      return;
    }
    const command =
      typeof content === "string"
        ? content.split("\n").find((line) => /^(?:\/usr\/bin\/python3|bash|echo) /.test(line))
        : undefined;
    row.segments.push({ type: "commentary", channel: "analysis", text: "thinking" });
    const ignores = (this.quirks.ignore ?? 0) > 0;
    if (ignores) this.quirks.ignore = (this.quirks.ignore ?? 0) - 1;
    const asked = ignores ? "echo something else" : (command ?? "true");
    row.status = "processing";
    row.segments.push({
      type: "tool_call",
      tool: "run_bash",
      args: { commentary: "Running.", exec_dir: "/agent", commands: asked },
    });
    const ran = await agent.container.run(asked);
    if (row.status === "cancelled") return;
    const said = this.quirks.exitCode ?? ((code: number | null) => (code === 0 ? null : code));
    const stdout = this.quirks.hideMark ? ran.stdout.replace(/^paddock: .*\n/, "") : ran.stdout;
    row.segments.push({
      type: "tool_result",
      tool: "run_bash",
      output: {
        status: "ok",
        tool: "run_bash",
        exit_code: said(ran.code),
        truncated: stdout.length > 8000,
        stdout: stdout.slice(0, 8000),
        stderr: ran.stderr.slice(0, 8000),
      },
    });
    row.segments.push({ type: "note", level: "info", text: "Plan Checklist:\n(no plan file)." });
    row.output_content = [{ type: "text", title: "paddock", content: "done" }];
    row.segments.push({
      type: "tool_result",
      tool: "output",
      output: { status: "ok", tool: "output", items: row.output_content },
    });
    Object.assign(row, { status: "completed", updated_at: wholeSeconds() });
    agent.state = "idle";
  }

  #files(response: ServerResponse, agent: StockAgent, rest: string[]): unknown {
    if (agent.state === "slept") return json(response, 409, { message: "Agent is sleeping" });
    const [, operation, ...parts] = rest;
    const relative = parts.map(decodeURIComponent).join("/");
    if (relative.split("/").includes("..")) return json(response, 400, { message: "Invalid path" });
    const path = join(agent.container.folder, relative);
    if (this.quirks.hideResults && relative.includes(".paddock/results"))
      return json(response, 500, { message: "Internal error: exec failed" });
    if (!existsSync(path)) return json(response, 404, { message: "File or directory not found" });
    const facts = lstatSync(path);
    if (operation === "read" && facts.isDirectory()) return json(response, 400, { message: "Path is a directory" });
    if (operation === "read" && facts.size > 25 * 1024 * 1024)
      return json(response, 413, { message: `file too large (${facts.size} bytes > 25MB)` });
    if (operation === "read") {
      response.writeHead(200, { "content-type": "application/octet-stream", "x-ractor-file-size": String(facts.size) });
      return response.end(readFileSync(path));
    }
    const names = readdirSync(path).toSorted((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
    const entries = names.map((name) => {
      const one = lstatSync(join(path, name));
      const kind = one.isDirectory() ? "dir" : one.isSymbolicLink() ? "symlink" : "file";
      return {
        name,
        kind,
        size: one.size,
        mode: (one.mode & 0o7777).toString(8).padStart(4, "0"),
        mtime: one.mtime.toISOString(),
      };
    });
    return json(response, 200, { entries, offset: 0, limit: 500, next_offset: null, total: entries.length });
  }

  #track(work: () => Promise<void>): void {
    const running = work()
      .catch(() => undefined)
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}

function marker(type: string): Row {
  const at = wholeSeconds();
  const segments = [{ type, note: "User", by: "system", at }];
  return {
    id: randomUUID(),
    status: "completed",
    input_content: [],
    output_content: [],
    segments,
    created_at: at,
    updated_at: at,
    visibleAt: 0,
  };
}

function cancelNewest(agent: StockAgent): boolean {
  const row = agent.rows.findLast(({ status }) => status === "pending" || status === "processing");
  agent.state = "idle";
  if (row === undefined) return false;
  row.status = "cancelled";
  row.segments.push({ type: "cancelled", reason: "user_cancel", at: wholeSeconds() });
  return true;
}

function getResponses(response: ServerResponse, agent: StockAgent, id: string | undefined, url: URL): unknown {
  const rows = agent.rows.filter(({ visibleAt }) => visibleAt <= performance.now());
  if (id === "count") return json(response, 200, { count: rows.length, agent_name: agent.name });
  if (id !== undefined) {
    const row = rows.find((one) => one.id === id);
    return row === undefined
      ? json(response, 404, { message: "Response not found" })
      : json(response, 200, describeRow(row));
  }
  const offset = Number(url.searchParams.get("offset") ?? 0);
  const limit = Math.min(1000, Number(url.searchParams.get("limit") ?? 100));
  return json(response, 200, rows.slice(offset, offset + limit).map(describeRow));
}

function describeRow({ visibleAt: _hidden, ...row }: Row): Json {
  return structuredClone(row);
}

const describeAgent = ({ name, state, metadata }: StockAgent): Json => ({
  name,
  state,
  metadata,
  tags: [],
  created_at: wholeSeconds(),
  idle_from: null,
});

function json(response: ServerResponse, status: number, body: unknown): unknown {
  return response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function plain(response: ServerResponse, status: number, body: string): unknown {
  return response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(body);
}

async function fail(response: ServerResponse, fault: Fault): Promise<void> {
  if (fault === "html502" || fault === "html504") {
    const title = fault === "html502" ? "502 Bad Gateway" : "504 Gateway Time-out";
    response
      .writeHead(Number(title.slice(0, 3)), { "content-type": "text/html" })
      .end(`<html>\n<head><title>${title}</title></head>\n<body>nginx</body></html>`);
    return;
  }
  response.writeHead(200, {
    "content-type": "application/json",
    ...(fault === "broken" ? {} : { "content-length": "1000" }),
  });
  if (fault === "broken") response.end('{"id": "x", "stat');
  else {
    response.write('{"id": "x"');
    await sleep(fault === "slow" ? 2000 : 20);
    response.destroy();
  }
}
