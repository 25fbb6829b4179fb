import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import { tryJson } from "../lib/json.ts";
import { DEFAULT_RETENTION } from "../model/limits.ts";
import { DAY_MS } from "../model/units.ts";
import { type ArtifactsConfig, ArtifactsFile, compileArtifacts } from "./artifacts.ts";
import { type Home, resolveHome } from "./home.ts";
import { compileService, type ServiceConfig, ServiceFile } from "./service.ts";

const TrustedUpstream = z.strictObject({
  name: z.string().min(1).max(253),
  port: z.int().min(1).max(65535),
  address: z.string().max(64).optional(),
});

const TrustedUpstreams = z.array(TrustedUpstream).max(1000);

export const DRIVERS = ["bubblewrap", "docker"] as const;
export type DriverName = (typeof DRIVERS)[number];

const RuntimeName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/);

/** `config.json` in the data folder; the operator's word. No task and no API can set any of it. */
const ConfigFile = z.strictObject({
  driver: z.enum(DRIVERS).optional(),
  /** Runtime of the container engine, by the name the engine knows it under: `runc`, `runsc`. */
  runtime: RuntimeName.optional(),
  /** `rlimit` asks for the single-tenant tier without cgroups. */
  limits: z.enum(["auto", "rlimit"]).optional(),
  trusted_upstreams: TrustedUpstreams.optional(),
  ca_bundle: z.string().optional(),
  retention_days: z.number().min(0).optional(),
  retention_bytes: z.number().min(0).optional(),
  /** The sum of limits may exceed the machine by this factor. */
  overcommit: z.number().min(1).max(100).optional(),
  artifacts: ArtifactsFile.optional(),
  service: ServiceFile.optional(),
});

export interface Config {
  readonly home: Home;
  readonly driver: DriverName;
  /** Runtime of the container engine; undefined leaves it to the engine's default. */
  readonly runtime: string | undefined;
  readonly limits: "auto" | "rlimit";
  readonly trustedUpstreams: readonly { readonly name: string; readonly port: number; readonly address?: string }[];
  /** The host's CA bundle, passed on to sandboxes. */
  readonly caBundle: string | undefined;
  readonly retentionMs: number;
  readonly retentionBytes: number;
  readonly overcommit: number;
  readonly artifacts: ArtifactsConfig;
  readonly service: ServiceConfig;
}

const CA_VARIABLES = ["PADDOCK_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];

/** Environment first, then `config.json`, then defaults. Throws `invalid_config` naming the setting. */
export function loadConfig(env: NodeJS.ProcessEnv, uid: number): Config {
  const home = resolveHome(env, uid);
  const file = readConfigFile(join(home.root, "config.json"));
  const limits = z.enum(["auto", "rlimit"]).safeParse(env["PADDOCK_LIMITS"] ?? file.limits ?? "auto");
  if (!limits.success)
    throw new PaddockError("invalid_config", `PADDOCK_LIMITS is ${env["PADDOCK_LIMITS"]}; use auto or rlimit`);
  const driver = z.enum(DRIVERS).safeParse(env["PADDOCK_DRIVER"] ?? file.driver ?? "bubblewrap");
  if (!driver.success)
    throw new PaddockError("invalid_config", `PADDOCK_DRIVER is ${env["PADDOCK_DRIVER"]}; use ${DRIVERS.join(" or ")}`);
  const runtime = RuntimeName.optional().safeParse(env["PADDOCK_RUNTIME"] ?? file.runtime);
  if (!runtime.success)
    throw new PaddockError(
      "invalid_config",
      `PADDOCK_RUNTIME is ${env["PADDOCK_RUNTIME"]}, which is no runtime's name`,
    );
  if (runtime.data !== undefined && driver.data === "bubblewrap")
    throw new PaddockError("invalid_config", "a runtime can be chosen with the docker driver only", {
      hint: "Add --driver docker, or unset PADDOCK_RUNTIME.",
    });
  return {
    home,
    driver: driver.data,
    runtime: runtime.data,
    limits: limits.data,
    trustedUpstreams: (readTrusted(env["PADDOCK_TRUSTED_UPSTREAMS"]) ?? file.trusted_upstreams ?? []).map(
      ({ name, port, address }) => (address === undefined ? { name, port } : { name, port, address }),
    ),
    caBundle:
      file.ca_bundle ?? CA_VARIABLES.map((name) => env[name]).find((path) => path !== undefined && existsSync(path)),
    retentionMs: file.retention_days === undefined ? DEFAULT_RETENTION.ageMs : file.retention_days * DAY_MS,
    retentionBytes: file.retention_bytes ?? DEFAULT_RETENTION.bytes,
    overcommit: file.overcommit ?? 4,
    artifacts: compileArtifacts(file.artifacts ?? {}, env),
    service: compileService(file.service ?? {}, env),
  };
}

/** The same list as in the file, as JSON. */
function readTrusted(text: string | undefined): z.infer<typeof TrustedUpstreams> | undefined {
  if (text === undefined) return undefined;
  const parsed = TrustedUpstreams.safeParse(tryJson(text));
  if (parsed.success) return parsed.data;
  throw new PaddockError(
    "invalid_config",
    `PADDOCK_TRUSTED_UPSTREAMS is no JSON list of {name, port, address?}: ${parsed.error.issues[0]?.message ?? ""}`,
  );
}

function readConfigFile(path: string): z.infer<typeof ConfigFile> {
  if (!existsSync(path)) return {};
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new PaddockError("invalid_config", `${path} cannot be read as JSON`, { cause });
  }
  const parsed = ConfigFile.safeParse(value);
  if (parsed.success) {
    const secret = parsed.data.artifacts?.s3?.secret_access_key;
    if (secret !== undefined && (statSync(path).mode & 0o077) !== 0)
      throw new PaddockError("invalid_config", `${path} holds a secret key and can be read by others`, {
        hint: `Run chmod 600 ${path}.`,
      });
    return parsed.data;
  }
  const issue = parsed.error.issues[0];
  throw new PaddockError("invalid_config", `${path}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? "is invalid"}`);
}
