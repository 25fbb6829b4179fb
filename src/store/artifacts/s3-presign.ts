import type { S3Client } from "@aws-sdk/client-s3";
import type { S3Config } from "../../config/artifacts.ts";
import { PaddockError } from "../../errors/error.ts";
import type { PresignedRequest, PresignRequest } from "../artifact-store.ts";
import { loadS3 } from "./s3-client.ts";
import { s3Failure } from "./s3-errors.ts";

export const MAX_EXPIRY_MS = 5 * 60 * 1000;
const CONTENT_HASH = "x-amz-content-sha256";
const ACL = "x-amz-acl";
/**
 * AWS refuses `x-amz-` headers that are not signed. Other servers obey them: what must not be added is signed where it
 * can be.
 */
const FIXED_ACL = "private";

const ignore = (): void => undefined;

/**
 * Signs one request for one object. A PUT signs length and sha256 too: the server refuses any other content. At an
 * endpoint of its own it also signs that the object is private, and an empty PUT is `unsupported`: with a header of the
 * sender's it would copy any other object.
 */
export async function presignObject(
  client: S3Client,
  config: S3Config,
  bucket: string,
  request: PresignRequest,
): Promise<PresignedRequest> {
  const expiresMs = request.expiresMs ?? MAX_EXPIRY_MS;
  if (!(expiresMs >= 1000 && expiresMs <= MAX_EXPIRY_MS))
    throw new PaddockError("invalid_request", `a signed URL lives 1 s to 5 min, not ${expiresMs} ms`);
  const expires = new Date(Date.now() + expiresMs).toISOString();
  try {
    await assertNoSessionToken(client, config);
    if (request.method === "PUT") assertNoCopy(config, request.bytes);
    const options = { expiresIn: Math.floor(expiresMs / 1000) };
    const url = await (request.method === "GET"
      ? signGet(client, bucket, request.key, options)
      : signPut(client, config, bucket, request, options));
    const headers: Record<string, string> =
      request.method === "GET"
        ? {}
        : {
            "content-length": String(request.bytes),
            [CONTENT_HASH]: request.sha256,
            ...(obeysUnsigned(config) ? { [ACL]: FIXED_ACL } : {}),
          };
    return { method: request.method, url, headers, expires };
  } catch (thrown) {
    throw s3Failure(thrown, `s3://${bucket}/${request.key} could not be signed`);
  }
}

const obeysUnsigned = ({ endpoint, sandboxEndpoint }: S3Config): boolean => (sandboxEndpoint ?? endpoint) !== undefined;

/** A request with a body is no copy: servers that obey `x-amz-copy-source` unsigned refuse one with content. */
function assertNoCopy(config: S3Config, bytes: number): void {
  if (bytes > 0 || !obeysUnsigned(config)) return;
  throw new PaddockError("unsupported", "an empty object cannot be uploaded to this server by a signed URL", {
    hint: "Upload at least one byte; a signed URL without content could be used to copy other objects (docs/artifacts.md).",
  });
}

async function assertNoSessionToken(client: S3Client, config: S3Config): Promise<void> {
  if (config.sessionTokenInUrls || (await client.config.credentials()).sessionToken === undefined) return;
  throw new PaddockError(
    "artifact_failed",
    "the credentials are temporary: a URL they sign carries their session token",
    {
      hint: "Use credentials of a user, or allow it with artifacts.s3.session_token_in_urls (docs/artifacts.md).",
    },
  );
}

async function signGet(client: S3Client, bucket: string, key: string, options: { expiresIn: number }): Promise<string> {
  const [{ GetObjectCommand }, { getSignedUrl }] = await Promise.all([
    loadS3(),
    import("@aws-sdk/s3-request-presigner"),
  ]);
  return await getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: key }), options);
}

async function signPut(
  client: S3Client,
  config: S3Config,
  bucket: string,
  { key, bytes, sha256 }: Extract<PresignRequest, { method: "PUT" }>,
  options: { expiresIn: number },
): Promise<string> {
  const [{ PutObjectCommand }, { getSignedUrl }] = await Promise.all([
    loadS3(),
    import("@aws-sdk/s3-request-presigner"),
  ]);
  const fixed = obeysUnsigned(config) ? ({ ACL: FIXED_ACL } as const) : {};
  const command = new PutObjectCommand({ Bucket: bucket, Key: key, ContentLength: bytes, ...fixed });
  command.middlewareStack.add(
    (next) => async (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      // The presigner sets this header to UNSIGNED-PAYLOAD; what is fixed here stays, and is signed.
      Object.defineProperty(headers, "X-Amz-Content-Sha256", {
        enumerable: true,
        get: () => sha256,
        set: ignore,
      });
      return await next(args);
    },
    { step: "build", priority: "low", name: "fixContentHash" },
  );
  return await getSignedUrl(client, command, { ...options, unhoistableHeaders: new Set([CONTENT_HASH, ACL]) });
}
