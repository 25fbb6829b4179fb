import { availableParallelism } from "node:os";
import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import type { Limits } from "../model/limits.ts";
import { LimitsInput } from "../model/task.ts";
import { DAY_MS, MIB } from "../model/units.ts";

const seconds = z.number().min(0).max(604_800);
const count = z.int().min(1);
const port = z.int().min(0).max(65_535);
/** At most 100 years. */
const tokenHours = z.number().positive().max(876_000);
const name = z.string().min(1).max(253);

/** `service` in `config.json` (docs/configuration.md). */
export const ServiceFile = z.strictObject({
  host: name.optional(),
  port: port.optional(),
  /** Serve published content on a port of its own instead of `/content`. */
  content_port: port.optional(),
  /** Where others reach this server; goes into messages and, on a shared database, to the other servers. */
  public_url: z.url({ protocol: /^https?$/ }).optional(),
  allowed_hosts: z.array(name).max(100).optional(),
  allowed_origins: z.array(z.string().max(300)).max(100).optional(),
  database_url: z.string().optional(),
  /** Time for running tasks when the server is told to stop. */
  grace_seconds: seconds.optional(),
  setup_timeout_seconds: seconds.optional(),
  /** Tasks that run at the same time. */
  max_running: count.optional(),
  /** How many of them may be one principal's. */
  max_running_per_principal: count.optional(),
  max_queued_per_agent: count.optional(),
  max_queued_per_principal: count.optional(),
  max_agents_per_principal: count.optional(),
  /** What responses and idempotency keys of one principal may take in the database. */
  max_stored_bytes_per_principal: count.optional(),
  /** Sum of the sizes of one principal's workspaces. */
  max_workspace_bytes_per_principal: count.optional(),
  /** What `metadata.limits` of an agent may ask for. */
  max_limits: LimitsInput.optional(),
  /** Requests per second and principal, and how many may come at once. */
  rate_per_second: z.number().positive().optional(),
  rate_burst: count.optional(),
  /** `/metrics` without a token. */
  public_metrics: z.boolean().optional(),
  /** Life of a token that names none. */
  token_ttl_hours: tokenHours.optional(),
  /** What `ttl_hours` of a token is cut to. */
  max_token_ttl_hours: tokenHours.optional(),
  log_level: z.enum(["debug", "info", "warn", "error", "silent"]).optional(),
});

/** What `paddock serve` is told; environment first, then `config.json`, then defaults. */
export interface ServiceConfig {
  readonly host: string;
  readonly port: number;
  readonly contentPort: number | undefined;
  readonly publicUrl: string | undefined;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  /** Undefined: the embedded database in the data folder. */
  readonly databaseUrl: string | undefined;
  /** Set for the operator `admin` at each start; undefined: the one set before stays, at first none works. */
  readonly adminPassword: string | undefined;
  /** The full URL for traces. */
  readonly otlpEndpoint: string | undefined;
  readonly graceMs: number;
  readonly setupTimeoutMs: number;
  readonly maxRunning: number;
  readonly maxRunningPerPrincipal: number;
  readonly maxQueuedPerAgent: number;
  readonly maxQueuedPerPrincipal: number;
  readonly maxAgentsPerPrincipal: number;
  readonly maxWorkspaceBytesPerPrincipal: number;
  readonly maxStoredBytesPerPrincipal: number;
  readonly maxLimits: Limits;
  readonly ratePerSecond: number;
  readonly rateBurst: number;
  readonly publicMetrics: boolean;
  readonly tokenTtlHours: number;
  readonly maxTokenTtlHours: number;
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
}

/** Of every operator. */
export const MIN_PASSWORD_LENGTH = 8;

/** Throws `invalid_config` naming the setting. */
export function compileService(file: z.infer<typeof ServiceFile>, env: NodeJS.ProcessEnv): ServiceConfig {
  const adminPassword = env["PADDOCK_ADMIN_PASSWORD"];
  if (adminPassword !== undefined && adminPassword.length < MIN_PASSWORD_LENGTH)
    throw new PaddockError("invalid_config", `PADDOCK_ADMIN_PASSWORD has less than ${MIN_PASSWORD_LENGTH} characters`);
  const databaseUrl = env["DATABASE_URL"] ?? file.database_url;
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl))
    throw new PaddockError("invalid_config", "DATABASE_URL does not begin with postgres:// or postgresql://");
  const maxRunning = file.max_running ?? availableParallelism() * 4;
  return {
    host: env["PADDOCK_HOST"] ?? file.host ?? "127.0.0.1",
    port: readPort(env["PADDOCK_PORT"]) ?? file.port ?? 9000,
    contentPort: file.content_port,
    publicUrl: env["PADDOCK_PUBLIC_URL"] ?? file.public_url,
    allowedHosts: file.allowed_hosts ?? [],
    allowedOrigins: file.allowed_origins ?? [],
    databaseUrl,
    adminPassword,
    otlpEndpoint: env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] ?? addTracesPath(env["OTEL_EXPORTER_OTLP_ENDPOINT"]),
    graceMs: (file.grace_seconds ?? 30) * 1000,
    setupTimeoutMs: (file.setup_timeout_seconds ?? 900) * 1000,
    maxRunning,
    maxRunningPerPrincipal: file.max_running_per_principal ?? Math.max(1, Math.floor((maxRunning * 3) / 4)),
    maxQueuedPerAgent: file.max_queued_per_agent ?? 1000,
    maxQueuedPerPrincipal: file.max_queued_per_principal ?? 5000,
    maxStoredBytesPerPrincipal: file.max_stored_bytes_per_principal ?? 1024 * MIB,
    maxAgentsPerPrincipal: file.max_agents_per_principal ?? 1000,
    maxWorkspaceBytesPerPrincipal: file.max_workspace_bytes_per_principal ?? 102_400 * MIB,
    maxLimits: compileMaxLimits(file.max_limits ?? {}),
    ratePerSecond: file.rate_per_second ?? 200,
    rateBurst: file.rate_burst ?? 1000,
    publicMetrics: file.public_metrics ?? false,
    tokenTtlHours: file.token_ttl_hours ?? 720,
    maxTokenTtlHours: file.max_token_ttl_hours ?? Math.max(8760, file.token_ttl_hours ?? 0),
    logLevel: file.log_level ?? "info",
  };
}

function compileMaxLimits(given: z.infer<typeof LimitsInput>): Limits {
  return {
    memoryBytes: given.memory_bytes ?? 4096 * MIB,
    cpus: given.cpus ?? Math.max(4, availableParallelism()),
    pids: given.pids ?? 2048,
    workspaceBytes: given.workspace_bytes ?? 10_240 * MIB,
    tmpBytes: given.tmp_bytes ?? 2048 * MIB,
    openFiles: given.open_files ?? 65_536,
    outputBytes: given.output_bytes ?? 16 * MIB,
    spillBytes: given.spill_bytes ?? 1024 * MIB,
    callTimeoutMs: given.call_timeout_ms ?? DAY_MS,
    taskTimeoutMs: given.task_timeout_ms ?? DAY_MS,
  };
}

function readPort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const parsed = port.safeParse(/^\d{1,5}$/.test(text) ? Number(text) : Number.NaN);
  if (parsed.success) return parsed.data;
  throw new PaddockError("invalid_config", `PADDOCK_PORT is ${text}; it has to be a number up to 65535`);
}

/** OTEL_EXPORTER_OTLP_ENDPOINT names the collector, not the address for traces below it. */
function addTracesPath(base: string | undefined): string | undefined {
  return base === undefined ? undefined : `${base.replace(/\/+$/, "")}/v1/traces`;
}
