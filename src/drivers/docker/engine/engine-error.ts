import { PaddockError } from "../../../errors/error.ts";
import { isTimeout } from "../../../lib/deadline.ts";

const CONNECTION_CODES = new Set([
  "EACCES",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPERM",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
]);

const USE_TLS = "If it speaks TLS, set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH.";
const CHECK_CERTIFICATES =
  "DOCKER_CERT_PATH must hold the ca.pem that signed the engine's certificate, and a cert.pem and key.pem that the engine accepts.";

const isTlsProblem = (code: unknown, message: string): boolean =>
  /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO/.test(String(code)) ||
  /certificate|TLS|SSL/.test(message);

const START_HINTS: Readonly<Record<string, string>> = {
  ENOENT: "No engine's socket is there: start the engine, or name it with DOCKER_HOST.",
  EACCES:
    "This user may not use the engine's socket; run as root or as one who may (whoever may is as good as root on that machine).",
  ECONNREFUSED: "Nothing listens there: start the engine, or name it with DOCKER_HOST.",
  ENOTFOUND: "That host name has no address: correct DOCKER_HOST or the docker context.",
  ECONNRESET: "The engine ended or restarted during the request; try again.",
  EPIPE: "The engine ended or restarted during the request; try again.",
};

const read = (value: unknown, field: string): unknown =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[field] : undefined;

const MAX_MESSAGE_CHARACTERS = 2000;

/**
 * What the engine itself said, else the error's text. Engines repeat whole requests in their errors, so it is cut in
 * the middle.
 */
function readMessage(error: unknown): string {
  const said = read(read(error, "json"), "message");
  const message = (typeof said === "string" ? said : error instanceof Error ? error.message : String(error)).trim();
  if (message.length <= MAX_MESSAGE_CHARACTERS) return message;
  const half = MAX_MESSAGE_CHARACTERS / 2;
  return `${message.slice(0, half)} ... ${message.slice(-half)}`;
}

/** The engine tells these apart by text only, so this is the one place that reads it. */
function classify(status: number | undefined, message: string): { code: PaddockError["code"]; hint?: string } {
  if (/no space left on device|disk quota exceeded/i.test(message)) {
    return { code: "no_space", hint: "Free space where the container engine keeps its data (docker system df)." };
  }
  if (status === 404 && /no such image|image not known|unable to find .*image|does not exist in local/i.test(message)) {
    return { code: "image_missing" };
  }
  if (/(unknown or invalid|invalid) runtime|runtime .*(not found|not configured)|unknown runtime/i.test(message)) {
    const hint = "Register the runtime with the engine (daemon.json, `runtimes`) and reload it; docs/docker.md.";
    return { code: "driver_unavailable", hint };
  }
  if (status === 400 && /HTTP request to an HTTPS server/i.test(message)) {
    return { code: "engine_unavailable", hint: USE_TLS };
  }
  return { code: "engine_failed" };
}

/** The hint for a request that never reached the engine. */
function hintConnection(code: unknown, message: string): string | undefined {
  if (isTlsProblem(code, message)) return CHECK_CERTIFICATES;
  return code === "ECONNRESET" && /socket hang up/.test(message)
    ? `${START_HINTS["ECONNRESET"]} ${USE_TLS}`
    : START_HINTS[String(code)];
}

/**
 * Anything that a request to the engine threw, as a coded error. `action` says what was asked: "make the container of
 * sbx_…".
 */
export function toEngineError(error: unknown, action: string): PaddockError {
  if (error instanceof PaddockError) return error;
  const message = readMessage(error);
  const status = read(error, "statusCode");
  if (error instanceof Error && (error.name === "AbortError" || isTimeout(error))) {
    return new PaddockError(
      isTimeout(error) || isTimeout(error.cause) ? "timeout" : "cancelled",
      `could not ${action}`,
      {
        cause: error,
      },
    );
  }
  const code = read(error, "code");
  const isConnection = typeof code === "string" && CONNECTION_CODES.has(code);
  if (typeof status !== "number" && (isConnection || isTlsProblem(code, message) || /socket hang up/.test(message))) {
    const hint = hintConnection(code, message);
    return new PaddockError("engine_unavailable", `could not ${action}: ${message}`, {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  const { code: known, hint } = classify(typeof status === "number" ? status : undefined, message);
  return new PaddockError(known, `could not ${action}: ${message}`, {
    cause: error,
    context: { status: typeof status === "number" ? status : null },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** HTTP status of the engine's refusal. */
export function readStatus(error: unknown): number | undefined {
  const status = error instanceof PaddockError ? error.context["status"] : undefined;
  return typeof status === "number" ? status : undefined;
}

/** An endpoint that was tried, why it is not used, and what to do about it. */
export interface TriedEndpoint {
  readonly endpoint: string;
  readonly problem: string;
  readonly hint: string;
}

/** `engine_unavailable` with all that was tried. Its hint is about a socket that is there, if there is one. */
export function makeNoEngineError(tried: readonly TriedEndpoint[]): PaddockError {
  const list = tried.map(({ endpoint, problem }) => `${endpoint}: ${problem}`).join("; ");
  const telling = tried.find(({ hint }) => hint !== START_HINTS["ENOENT"]) ?? tried[0];
  return new PaddockError("engine_unavailable", `no container engine answers: ${list}`, {
    context: { tried },
    ...(telling === undefined ? {} : { hint: telling.hint }),
  });
}
