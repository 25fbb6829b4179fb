import { writeFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { createApp } from "../../app.ts";
import type { ServiceConfig } from "../../config/service.ts";
import type { Service } from "../../service.ts";
import { catchStops } from "../process/server-signals.ts";
import { say, style } from "../render/terminal.ts";
import { addDriverOptions } from "../request/driver-options.ts";

interface ServeOptions {
  readonly host?: string;
  readonly port?: string;
  readonly databaseUrl?: string;
  readonly newAdminToken?: boolean;
  readonly acceptDatabase?: string;
  readonly json?: boolean;
}

const THREADS = "32";
const SERVER_OOM_SCORE = "-500";
/** CloseStack takes no longer than this after the tasks have ended or were handed back. */
const CLOSE_MS = 20_000;

export function serveCommand(): Command {
  return addDriverOptions(new Command("serve"))
    .description("run the service: agents and tasks over HTTP (docs/service.md)")
    .option("--host <address>", "where to listen (default 127.0.0.1)")
    .option("--port <number>", "where to listen (default 9000; 0 for a free one)", readPort)
    .option(
      "--database-url <url>",
      "a Postgres database for several servers; DATABASE_URL keeps it out of the process list",
    )
    .option("--new-admin-token", "issue and show a new admin token")
    .option(
      "--accept-database <id>",
      "give the data folder to this database and delete the workspaces of agents that it does not know",
    )
    .option("--json", "show what to know as one line of JSON")
    .action(async (options: ServeOptions) => await serve(options));
}

function readPort(text: string): string {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return text;
  throw new InvalidArgumentError("it has to be a number up to 65535.");
}

async function serve(options: ServeOptions): Promise<void> {
  takeOver(options);
  outliveSandboxes();
  using stops = catchStops();
  // Other commands start without what only a server needs.
  const { createService } = await import("../../service.ts");
  await using app = await createApp();
  const service = await createService(app, {
    renewAdminToken: options.newAdminToken ?? false,
    acceptDatabase: options.acceptDatabase,
    signal: stops.starting,
  });
  process.on("unhandledRejection", (error) => service.reportDefect(error));
  try {
    show(service, app.config.service, options.json ?? false);
    await stops.stopped;
    await service.drain();
  } finally {
    const last = setTimeout(() => process.exit(70), CLOSE_MS);
    last.unref();
    await service[Symbol.asyncDispose]();
  }
}

/**
 * When the machine is out of memory the kernel takes a sandbox first (500) and us late; what we start inherits it or
 * sets its own.
 */
function outliveSandboxes(): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", SERVER_OOM_SCORE);
  } catch {
    // It takes CAP_SYS_RESOURCE; without it a guest is still preferred by its own value.
  }
}

/** What the command line says wins over environment and `config.json`. */
function takeOver({ host, port, databaseUrl }: ServeOptions): void {
  // Read at the pool's first use, which is later: passwords and slow disks must not hold up each other's callers.
  process.env["UV_THREADPOOL_SIZE"] ??= THREADS;
  if (host !== undefined) process.env["PADDOCK_HOST"] = host;
  if (port !== undefined) process.env["PADDOCK_PORT"] = port;
  if (databaseUrl !== undefined) process.env["DATABASE_URL"] = databaseUrl;
}

function show(service: Service, config: ServiceConfig, json: boolean): void {
  const { url, contentUrl, adminToken, nodeId } = service;
  if (json) {
    const token = { admin_token: adminToken, admin_token_id: service.adminTokenId };
    const facts = { url, content_url: `${contentUrl ?? url}/content/`, node_id: nodeId, pid: process.pid, ...token };
    process.stdout.write(`${JSON.stringify(facts)}\n`);
  } else process.stdout.write(`${describe(url, contentUrl, adminToken)}\n`);
  if (!isLoopback(config.host) && !config.publicUrl?.startsWith("https:"))
    say(
      `${style("yellow", "warning:")} ${config.host} can be reached from other machines and nothing here speaks TLS: tokens travel in the open. Put a reverse proxy in front (docs/service.md).`,
    );
}

function describe(url: string, contentUrl: string | undefined, adminToken: string | undefined): string {
  const token =
    adminToken === undefined
      ? ["", "The admin token was shown at the first start; --new-admin-token makes another one."]
      : ["", `Admin token, shown only now: ${adminToken}`];
  const content = contentUrl === undefined ? [] : [`Published content is at ${contentUrl}/content/`];
  return [
    `Paddock serves ${url}  (pages for people: ${url}/docs)`,
    ...content,
    ...token,
    "",
    "Try it:",
    `  curl ${url}/health`,
    `  curl -H "Authorization: Bearer ${adminToken ?? "$TOKEN"}" ${url}/api/v0/agents`,
    "",
  ].join("\n");
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
