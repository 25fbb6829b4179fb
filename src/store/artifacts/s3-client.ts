import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import type { S3Config } from "../../config/artifacts.ts";
import { PaddockError } from "../../errors/error.ts";

/** The AWS SDK, loaded when the first object is asked for: it takes 300 ms and 40 MB. */
export async function loadS3(): Promise<typeof import("@aws-sdk/client-s3")> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (cause) {
    throw new PaddockError("artifact_failed", "the package @aws-sdk/client-s3 could not be loaded", {
      cause,
      hint: "Objects in S3 need it: run npm install.",
    });
  }
}

/** `endpoint` takes the place of the configured one. */
export async function makeS3Client(config: S3Config, endpoint = config.endpoint): Promise<S3Client> {
  const { S3Client } = await loadS3();
  const options: S3ClientConfig = {
    forcePathStyle: config.pathStyle,
    // Servers other than AWS refuse or corrupt bodies with the SDK's default checksums.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: config.attempts,
    followRegionRedirects: endpoint === undefined,
    requestHandler: {
      connectionTimeout: config.timeoutMs,
      requestTimeout: config.timeoutMs,
      socketTimeout: config.timeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: 32 },
      httpsAgent: { keepAlive: true, maxSockets: 32 },
    },
    logger: SILENT,
  };
  if (endpoint !== undefined) options.endpoint = endpoint;
  if (config.region !== undefined || endpoint !== undefined) options.region = config.region ?? "us-east-1";
  if (config.credentials !== undefined) options.credentials = config.credentials;
  return new S3Client(options);
}

const ignore = (): void => undefined;
/** Nothing of a request, and so nothing of its credentials, reaches a console. */
const SILENT = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };
