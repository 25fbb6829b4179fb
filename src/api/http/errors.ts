import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { PaddockError, toPaddockError } from "../../errors/error.ts";
import { hintForHttp } from "../../errors/http-hints.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import type { Failure, Server } from "./server-services.ts";

/** Errors of 500 and more whose message is written for the caller; the message of any other may tell about the host. */
const SPEAKING = new Set(["draining", "timeout", "no_space", "task_lost", "unsupported"]);

/** A failure before the handler. */
interface Refusal {
  readonly status: number;
  readonly error: PaddockError;
  readonly part: Failure["refused"];
}

export function handleErrors(server: Server, telemetry: Telemetry): void {
  server.setErrorHandler(async (thrown: unknown, request, reply) => {
    const refusal = readRefusal(thrown);
    const error = refusal?.error ?? toPaddockError(thrown);
    request.errorCode = error.code;
    if (refusal === undefined && !isTold(error, error.row.httpStatus))
      telemetry.problem(`http ${request.routeOptions.url ?? "unmatched"}`, thrown);
    return await sendError(request, reply, error, refusal?.status, refusal?.part);
  });
}

/** The error in the form of the protocol that the request speaks. */
export async function sendError(
  request: FastifyRequest,
  reply: FastifyReply,
  error: PaddockError,
  status: number = error.row.httpStatus,
  refused?: Failure["refused"],
): Promise<FastifyReply> {
  const { code } = error;
  const { retryable } = error.row;
  const told = isTold(error, status)
    ? { message: error.message, hint: hintForHttp(error) }
    : { message: describe(status), hint: ASK_LOG };
  if (retryable && (status === 429 || status === 503)) reply.header("retry-after", String(readRetryAfter(error)));
  const failure = { status, code, ...told, retryable, ...(refused === undefined ? {} : { refused }) };
  return await request.server.findGroup(request.url).sendFailure(reply.code(status), failure);
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
    return refuse(413, "form", "Failed to buffer the request body: length limit exceeded", "too_large");
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE")
    return refuse(415, "form", "Expected request with `Content-Type: application/json`");
  if (thrown instanceof SyntaxError && statusCode === 400)
    return refuse(400, "form", `Failed to parse the request body as JSON: ${thrown.message}`);
  if (code?.startsWith("FST_ERR_") && statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return refuse(statusCode, "form", "The request is malformed");
  return undefined;
}

const refuse = (
  status: number,
  part: Failure["refused"],
  message: string,
  code: "invalid_request" | "too_large" | "not_found" = "invalid_request",
): Refusal => ({ status, part, error: new PaddockError(code, message) });

interface Validation {
  readonly validation: readonly { readonly instancePath: string; readonly message?: string }[];
  readonly validationContext?: string | undefined;
}

function readValidation({ validation, validationContext }: Validation): Refusal {
  const [first] = validation;
  const field = (first?.instancePath ?? "").slice(1).replaceAll("/", ".");
  const reason = `${field === "" ? "" : `${field}: `}${first?.message ?? "invalid"}`;
  if (validationContext === "params") return refuse(404, "params", "Not found", "not_found");
  if (validationContext === "querystring") return refuse(400, "query", `Failed to deserialize query string: ${reason}`);
  return refuse(422, "body", reason);
}
