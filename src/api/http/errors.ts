import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { hintForHttp } from "../../errors/http-hints.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import type { Server } from "./server-parts.ts";

/** Paths that answer in the contract's forms; every other path answers in ours. */
const CONTRACT = "/api/v0/";
export const isContractPath = (url: string): boolean => url.startsWith(CONTRACT) || url === "/api/v0";

/** Errors of 500 and more whose message is written for the caller; the message of any other may tell about the host. */
const SPEAKING = new Set(["draining", "timeout", "no_space", "task_lost", "unsupported"]);

/** A failure before the handler, as the contract words it. Under our own paths only the status counts. */
interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly error: PaddockError;
}

export function handleErrors(server: Server, telemetry: Telemetry): void {
  server.setErrorHandler(async (thrown: unknown, request, reply) => {
    const refusal = readRefusal(thrown);
    const error = refusal?.error ?? toPaddockError(thrown);
    request.errorCode = error.code;
    if (refusal === undefined && !isTold(error, error.row.httpStatus))
      telemetry.problem(`http ${request.routeOptions.url ?? "unmatched"}`, thrown);
    if (refusal && isContractPath(request.url))
      return await reply.code(refusal.status).type("text/plain; charset=utf-8").send(refusal.text);
    return await sendError(request, reply, error, refusal?.status);
  });
}

/** The error in the form of the path it happened on. */
export async function sendError(
  request: FastifyRequest,
  reply: FastifyReply,
  error: PaddockError,
  status: number = error.row.httpStatus,
): Promise<FastifyReply> {
  const { code } = error;
  const { retryable } = error.row;
  const { message, hint } = isTold(error, status)
    ? { message: error.message, hint: hintForHttp(error) }
    : { message: describe(status), hint: ASK_LOG };
  if (retryable && (status === 429 || status === 503)) reply.header("retry-after", String(readRetryAfter(error)));
  if (status === 401 && !isContractPath(request.url)) reply.header("www-authenticate", "Bearer");
  reply.code(status).type("application/json; charset=utf-8");
  if (!isContractPath(request.url)) return await reply.send(JSON.stringify({ code, message, hint, retryable }));
  reply.header("x-paddock-code", code).header("x-paddock-hint", hint.replace(/[^\x20-\x7e]/g, "?"));
  return await reply.send(JSON.stringify({ message }));
}

const ASK_LOG = "The server's log has the cause.";

const isTold = ({ code }: PaddockError, status: number): boolean => status < 500 || SPEAKING.has(code);

const describe = (status: number): string =>
  status === 503
    ? "Temporarily unavailable"
    : status === 500
      ? "Internal error"
      : "The request could not be carried out";

/** Seconds, at least one. */
function readRetryAfter({ context }: PaddockError): number {
  const ms = context["retryAfterMs"];
  return typeof ms === "number" ? Math.max(1, Math.ceil(ms / 1000)) : 1;
}

function readRefusal(thrown: unknown): Refusal | undefined {
  if (!(thrown instanceof Error) || thrown instanceof PaddockError) return undefined;
  if (hasZodFastifySchemaValidationErrors(thrown)) return readValidation(thrown);
  const { code, statusCode } = thrown as FastifyError;
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE")
    return refuse(413, "Failed to buffer the request body: length limit exceeded", "too_large");
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE")
    return refuse(415, "Expected request with `Content-Type: application/json`");
  if (thrown instanceof SyntaxError && statusCode === 400)
    return refuse(400, `Failed to parse the request body as JSON: ${thrown.message}`);
  if (code?.startsWith("FST_ERR_") && statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return refuse(statusCode, "The request is malformed");
  return undefined;
}

const refuse = (status: number, text: string, code: "invalid_request" | "too_large" = "invalid_request"): Refusal => ({
  status,
  text,
  error: new PaddockError(code, text),
});

interface Validation {
  readonly validation: readonly { readonly instancePath: string; readonly message?: string }[];
  readonly validationContext?: string | undefined;
}

function readValidation({ validation, validationContext }: Validation): Refusal {
  const [first] = validation;
  const field = (first?.instancePath ?? "").slice(1).replaceAll("/", ".");
  const reason = `${field === "" ? "" : `${field}: `}${first?.message ?? "invalid"}`;
  if (validationContext === "params") return { ...refuse(404, ""), error: new PaddockError("not_found", "Not found") };
  if (validationContext === "querystring") return { ...refuse(400, `Failed to deserialize query string: ${reason}`) };
  const text = `Failed to deserialize the JSON body into the target type: ${reason}`;
  return { status: 422, text, error: new PaddockError("invalid_request", reason) };
}
