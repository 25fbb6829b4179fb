import { PaddockError } from "../../errors/error.ts";
import { cancelled } from "./content.ts";

/** What the SDK's errors have in common; anything of it may be missing. */
interface S3Failure {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
}

const ENDPOINT_HINT = "Check artifacts.s3.endpoint, and that this host reaches it.";
const HINTS: Readonly<Record<string, string>> = {
  NoSuchBucket: "Create the bucket, or correct artifacts.s3.bucket.",
  AccessDenied: "Allow these credentials the operation on this bucket and prefix.",
  Forbidden: "Allow these credentials the operation on this bucket and prefix.",
  InvalidAccessKeyId: "The server does not know the access key; check artifacts.s3 or AWS_ACCESS_KEY_ID.",
  SignatureDoesNotMatch: "The secret key is wrong, or the clocks differ.",
  RequestTimeTooSkewed: "Set this host's clock.",
  ExpiredToken: "The temporary credentials ended; renew them.",
  CredentialsProviderError:
    "Give credentials in artifacts.s3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
  ECONNREFUSED: ENDPOINT_HINT,
  ENOTFOUND: ENDPOINT_HINT,
  EAI_AGAIN: ENDPOINT_HINT,
  EHOSTUNREACH: ENDPOINT_HINT,
  TimeoutError: `${ENDPOINT_HINT} artifacts.s3.timeout_ms bounds its silence.`,
  PermanentRedirect: "The bucket lies in another region: set artifacts.s3.region.",
};

/**
 * A failure of the server or the way to it as an error of the store. The SDK's own error, which holds the signed
 * request, is left behind.
 */
export function s3Failure(error: unknown, what: string, signal?: AbortSignal): PaddockError {
  if (error instanceof PaddockError) return error;
  if (signal?.aborted) return cancelled(signal);
  const failure = readFailure(error);
  const reason = failure.code ?? failure.name;
  const hint = HINTS[reason] ?? HINTS[failure.name];
  const shown = failure.message === "" ? reason : `${reason}: ${failure.message}`;
  const cause = Object.assign(new Error(failure.message), { name: failure.name });
  const { status, requestId } = failure;
  return new PaddockError("artifact_failed", `${what}: ${shown}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
    context: {
      reason,
      ...(status === undefined ? {} : { status }),
      ...(requestId === undefined ? {} : { requestId }),
    },
  });
}

export function isMissingKey(error: unknown): boolean {
  const { name, status } = readFailure(error);
  return name === "NoSuchKey" || name === "NotFound" || (status === 404 && name !== "NoSuchBucket");
}

export const hasStatus = (error: unknown, status: number): boolean => readFailure(error).status === status;

function readFailure(error: unknown): S3Failure {
  const facts = (typeof error === "object" && error !== null ? error : {}) as Readonly<Record<string, unknown>>;
  const metadata = (facts["$metadata"] ?? {}) as Readonly<Record<string, unknown>>;
  const status = metadata["httpStatusCode"];
  const requestId = metadata["requestId"];
  const inner = facts["errors"];
  const text = facts["message"] ?? (Array.isArray(inner) ? String(inner[0]) : "");
  return {
    name: typeof facts["name"] === "string" ? facts["name"] : "Error",
    message: (typeof text === "string" ? text : "").slice(0, 500),
    code: typeof facts["code"] === "string" ? facts["code"] : undefined,
    status: typeof status === "number" ? status : undefined,
    requestId: typeof requestId === "string" ? requestId : undefined,
  };
}
