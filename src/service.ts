import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { openAccess } from "./access/open.ts";
import type { Agents } from "./agents/agents.ts";
import { openAgents } from "./agents/open.ts";
import type { ServerTimes } from "./api/http/make-server.ts";
import type { Server, ServerParts } from "./api/http/server-services.ts";
import { buildContentServer, buildServer } from "./api/server.ts";
import type { App } from "./app.ts";
import { PaddockError } from "./errors/error.ts";
import { LockFile } from "./lib/lock-file.ts";
import { makeOpenFolder } from "./lib/open-folder.ts";
import { PRODUCT_VERSION } from "./model/version.ts";
import { CloseStack } from "./service/close-stack.ts";
import { checkClaim } from "./service/database-claim.ts";
import { listen } from "./service/listen.ts";
import { readNodeId } from "./service/node-id.ts";
import { makeReadiness } from "./service/readiness.ts";
import { reportSweeps } from "./service/sweeps.ts";
import { openStateStore } from "./store/state/open.ts";
import type { StateStore } from "./store/state-store.ts";
import { createTelemetry, type TelemetryHandle } from "./telemetry/create.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";

export interface ServiceOptions {
  /** Issue an admin token even if a living one exists. */
  readonly renewAdminToken?: boolean;
  /**
   * Id of a database: the data folder belongs to it from now on, and workspaces of agents that it does not know are
   * removed.
   */
  readonly acceptDatabase?: string | undefined;
  /** Where log lines go. Default: standard output. */
  readonly logTo?: Writable;
  /** For tests: how long callers may take. */
  readonly times?: Partial<ServerTimes>;
  /** Gives the start up; what was opened is closed again. */
  readonly signal?: AbortSignal;
}

/** A server that listens. CloseStack it stops it at once; `drain` first to let tasks end. */
export interface Service extends AsyncDisposable {
  readonly url: string;
  /** Where published content is served, when it has a port of its own. */
  readonly contentUrl: string | undefined;
  /** Shown once: on the first start of a data folder, when no living one is left, or when it was asked for. */
  readonly adminToken: string | undefined;
  /** With which it can be revoked. */
  readonly adminTokenId: string | undefined;
  readonly nodeId: string;
  readonly server: Server;
  readonly agents: Agents;
  readonly store: StateStore;
  /** A failure that nobody caught. The server goes on. */
  reportDefect(error: unknown): void;
  /** Takes no new tasks and waits for running ones, at most the configured grace; what is left then is handed back. */
  drain(): Promise<{ readonly finished: number; readonly handedBack: number }>;
}

/**
 * Starts the service over an app, which stays the caller's to close. It listens only when what an earlier process left
 * is reconciled. Throws `invalid_config` when another server or another database has the data folder, or a program the
 * port, `state_failed`, and what the driver throws.
 */
export async function createService(app: App, options: ServiceOptions = {}): Promise<Service> {
  const closing = new CloseStack();
  try {
    return await start(app, options, closing);
  } catch (error) {
    await closing
      .close()
      .catch((failure: unknown) => Promise.reject(new AggregateError([error, failure], String(error))));
    throw error;
  }
}

async function start(app: App, options: ServiceOptions, closing: CloseStack): Promise<Service> {
  const { config, fleet, executor, artifacts } = app;
  const nodeId = holdFolder(app, closing);
  const store = closing.add(openStateStore({ folder: config.home.state, databaseUrl: config.service.databaseUrl }));
  options.signal?.throwIfAborted();
  await store.start();
  const telemetry = closing.add(await startTelemetry(app, store, nodeId, options));
  const state = { isDraining: false, isReady: false };
  // What comes after it is the database and the log itself.
  closing.defer(async () => {
    if (state.isReady) tell(telemetry, "stopped");
  });
  closing.add(reportSweeps(config.home, telemetry));
  options.signal?.throwIfAborted();
  await fleet.start();
  const accepted = options.acceptDatabase;
  const claimFolder = await checkClaim({ folder: config.home.state, store, fleet, nodeId, accepted });
  const agents = closing.add(openAgents({ fleet, executor, store, artifacts, telemetry, config, nodeId }));
  options.signal?.throwIfAborted();
  const found = await agents.start();
  const access = openAccess(store, config.service);
  const isDraining = (): boolean => state.isDraining;
  const checkReadiness = makeReadiness(app, store, isDraining);
  const own = { agents, access, store, artifacts, telemetry, metrics: telemetry.metrics };
  const parts = { ...own, config: config.service, nodeId, checkReadiness, isDraining };
  const doors = await openDoors(parts, closing, options);
  claimFolder();
  // Last: a token of a start that failed would never be seen.
  const password = config.service.adminPassword;
  const issued = await access.ensureAdmin({ password, renew: options.renewAdminToken ?? false });
  state.isReady = true;
  // After the caller has said where it listens.
  setImmediate(() => tell(telemetry, "ready", `requeued ${found.requeued}, lost ${found.lost}, woken ${found.woken}`));
  let drained: ReturnType<Agents["drain"]> | undefined;
  return {
    ...doors,
    adminToken: issued?.token,
    adminTokenId: issued?.row.id,
    nodeId,
    agents,
    store,
    reportDefect: (error) => telemetry.problem("unhandled_rejection", error),
    drain: async () => {
      if (!isDraining()) tell(telemetry, "draining");
      state.isDraining = true;
      drained ??= agents.drain(config.service.graceMs);
      return await drained;
    },
    [Symbol.asyncDispose]: async () => {
      state.isDraining = true;
      tell(telemetry, "closing");
      await closing.close();
    },
  };
}

const tell = (telemetry: Telemetry, phase: string, detail?: string): void =>
  telemetry.record({
    op: "server.change",
    phase,
    startedAt: Date.now(),
    durationMs: 0,
    ...(detail === undefined ? {} : { detail }),
  });

/** One server per data folder: two would run the same agents. */
function holdFolder({ config: { home } }: App, closing: CloseStack): string {
  makeOpenFolder(home.root);
  mkdirSync(home.state, { recursive: true, mode: 0o700 });
  chmodSync(home.state, 0o700);
  const lock = LockFile.tryAcquire(join(home.state, "server.lock"));
  if (!(lock instanceof LockFile))
    throw new PaddockError("invalid_config", `another server (pid ${lock.pid}) has the data folder ${home.root}`, {
      hint: "Stop it first, or give this one a data folder of its own with PADDOCK_HOME.",
    });
  closing.add(lock);
  return readNodeId(home.state);
}

async function startTelemetry(
  { config }: App,
  store: StateStore,
  nodeId: string,
  { logTo }: ServiceOptions,
): Promise<TelemetryHandle> {
  const { logLevel, otlpEndpoint, adminPassword, databaseUrl } = config.service;
  const password = databaseUrl === undefined ? "" : decodeURIComponent(new URL(databaseUrl).password);
  return await createTelemetry({
    logLevel,
    otlpEndpoint,
    nodeId,
    version: PRODUCT_VERSION,
    secrets: [adminPassword ?? "", password, databaseUrl ?? ""].filter((secret) => secret !== ""),
    gauges: async () => {
      const [agents, work] = await Promise.all([store.countAgents(nodeId), store.countWork(nodeId)]);
      const { init = 0, idle = 0, busy = 0 } = agents;
      return { agents, ...work, sandboxes: init + idle + busy };
    },
    ...(logTo === undefined ? {} : { logTo }),
  });
}

interface Doors {
  readonly server: Server;
  readonly url: string;
  readonly contentUrl: string | undefined;
}

async function openDoors(parts: ServerParts, closing: CloseStack, { times, signal }: ServiceOptions): Promise<Doors> {
  const { host, port, contentPort } = parts.config;
  const server = await buildServer(parts, times);
  signal?.throwIfAborted();
  const content =
    contentPort === undefined
      ? undefined
      : closing.add(await listen(await buildContentServer(parts), host, contentPort));
  const { url } = closing.add(await listen(server, host, port));
  return { server, url, contentUrl: content?.url };
}
