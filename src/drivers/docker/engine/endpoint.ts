import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { PaddockError } from "../../../errors/error.ts";

/** Certificates of a TLS endpoint, as PEM texts. */
export interface EndpointTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** False accepts any server certificate: only where the operator's context says so. */
  readonly verify: boolean;
}

export type EndpointAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly tls?: EndpointTls }
  | { readonly kind: "ssh"; readonly host: string; readonly port?: number; readonly user?: string };

/** Where a container engine may be reached, and what named it. */
export interface Endpoint {
  /** `DOCKER_HOST`, `context NAME`, or the path of a well-known socket. */
  readonly origin: string;
  readonly address: EndpointAddress;
}

const DEFAULT_PORT = 2375;
const DEFAULT_TLS_PORT = 2376;

/** The address as the ecosystem writes it; no credentials. */
export function formatAddress(address: EndpointAddress): string {
  if (address.kind === "unix") return `unix://${address.path}`;
  if (address.kind === "ssh") return `ssh://${address.host}${address.port === undefined ? "" : `:${address.port}`}`;
  return `tcp://${address.host}:${address.port}`;
}

function readPem(folder: string, name: string): string | undefined {
  const path = join(folder, name);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function readTls(folder: string, verify: boolean): EndpointTls {
  const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map((name) => readPem(folder, name));
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    verify,
  };
}

/** As the docker client does it: what the environment asks for must be there. */
function readVerifiedTls(folder: string): EndpointTls {
  const tls = readTls(folder, true);
  if (tls.ca !== undefined) return tls;
  throw new PaddockError("invalid_config", `DOCKER_TLS_VERIFY is set, and ${folder} holds no ca.pem`, {
    hint: "Name the folder with ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH.",
  });
}

function makeHostError(origin: string, text: string, cause?: unknown): PaddockError {
  return new PaddockError("invalid_config", `${origin} is ${text}, which names no container engine`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "Use unix:///path/to/docker.sock, tcp://host:port or ssh://user@host.",
  });
}

/** Reads `unix://`, `tcp://`, `http(s)://` and `ssh://`, as the docker client does. Throws `invalid_config`. */
export function parseHost(origin: string, text: string, tls?: EndpointTls): Endpoint {
  if (text.startsWith("unix://") || text.startsWith("/")) {
    const path = text.replace(/^unix:\/\//, "");
    if (!path.startsWith("/")) throw makeHostError(origin, text);
    return { origin, address: { kind: "unix", path } };
  }
  const url = URL.parse(text.includes("://") ? text : `tcp://${text}`);
  if (url === null || url.hostname === "") throw makeHostError(origin, text);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? undefined : Number(url.port);
  switch (url.protocol) {
    case "ssh:": {
      const user = url.username === "" ? {} : { user: decodeURIComponent(url.username) };
      return { origin, address: { kind: "ssh", host, ...(port === undefined ? {} : { port }), ...user } };
    }
    case "tcp:":
    case "http:":
    case "https:": {
      const secure = tls ?? (url.protocol === "https:" ? { verify: true } : undefined);
      const standard = secure === undefined ? DEFAULT_PORT : DEFAULT_TLS_PORT;
      const address = { kind: "tcp", host, port: port ?? standard } as const;
      return { origin, address: secure === undefined ? address : { ...address, tls: secure } };
    }
    default:
      throw makeHostError(origin, text);
  }
}

function findFromEnvironment(env: NodeJS.ProcessEnv, home: string): Endpoint | undefined {
  const host = env["DOCKER_HOST"];
  if (host === undefined || host === "") return undefined;
  const verify = (env["DOCKER_TLS_VERIFY"] ?? "") !== "";
  const folder = env["DOCKER_CERT_PATH"] ?? join(home, ".docker");
  const wantsTls = verify || (env["DOCKER_TLS"] ?? "") !== "";
  return parseHost(
    "DOCKER_HOST",
    host,
    verify ? readVerifiedTls(folder) : wantsTls ? readTls(folder, false) : undefined,
  );
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null;

function readJson(path: string): Fields | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return isFields(value) ? value : undefined;
  } catch (cause) {
    throw new PaddockError("invalid_config", `${path} cannot be read as JSON`, { cause });
  }
}

/** The context that `DOCKER_CONTEXT` or the client's config.json chooses; `default` means the well-known sockets. */
function findFromContext(env: NodeJS.ProcessEnv, home: string): Endpoint | undefined {
  const folder = env["DOCKER_CONFIG"] ?? join(home, ".docker");
  const chosen = env["DOCKER_CONTEXT"] || readJson(join(folder, "config.json"))?.["currentContext"];
  if (typeof chosen !== "string" || chosen === "" || chosen === "default") return undefined;
  const key = createHash("sha256").update(chosen).digest("hex");
  const endpoints = readJson(join(folder, "contexts/meta", key, "meta.json"))?.["Endpoints"];
  const docker = isFields(endpoints) ? endpoints["docker"] : undefined;
  const host = isFields(docker) ? docker["Host"] : undefined;
  if (!isFields(docker) || typeof host !== "string") {
    throw new PaddockError("invalid_config", `the docker context ${chosen} names no endpoint`, {
      hint: "`docker context ls` lists contexts; `docker context use default` goes back to the local engine.",
    });
  }
  const tlsFolder = join(folder, "contexts/tls", key, "docker");
  const tls = existsSync(tlsFolder) ? readTls(tlsFolder, docker["SkipTLSVerify"] !== true) : undefined;
  return parseHost(`context ${chosen}`, host, tls);
}

function listSockets(env: NodeJS.ProcessEnv, home: string, uid: number): string[] {
  const runtime = env["XDG_RUNTIME_DIR"] ?? `/run/user/${uid}`;
  const users = [
    join(runtime, "docker.sock"),
    join(home, ".docker/run/docker.sock"),
    join(runtime, "podman/podman.sock"),
  ];
  return ["/var/run/docker.sock", ...users, "/run/podman/podman.sock"];
}

/**
 * Where to look for an engine, best first, as the docker client does: `DOCKER_HOST`, the chosen context, else the
 * well-known sockets of Docker (system, rootless, desktop) and Podman. Whoever names an engine gets that one or an
 * error, never another.
 */
export function listEndpoints(
  env: NodeJS.ProcessEnv,
  home: string = homedir(),
  uid: number = process.getuid?.() ?? 0,
): readonly Endpoint[] {
  const named = findFromEnvironment(env, home) ?? findFromContext(env, home);
  if (named !== undefined) return [named];
  return listSockets(env, home, uid).map((path) => ({ origin: path, address: { kind: "unix", path } }));
}
