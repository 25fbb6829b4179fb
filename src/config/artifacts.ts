import { z } from "zod";
import { PaddockError } from "../errors/error.ts";

/** Where artifacts are kept, and which objects tasks may reach (docs/artifacts.md). */

const httpOrigin = z.string().refine((text) => {
  const url = URL.parse(text);
  return (
    url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.search === "" && url.pathname === "/"
  );
}, "must be an http or https URL of a host, without path and credentials");

const bucket = z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be a bucket's name");
const prefix = z
  .string()
  .max(512)
  .regex(/^$|^[^/].*\/$/, "must be empty, or end with / and not begin with it");

const S3File = z.strictObject({
  bucket,
  prefix: prefix.optional(),
  endpoint: httpOrigin.optional(),
  sandbox_endpoint: httpOrigin.optional(),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,64}$/)
    .optional(),
  path_style: z.boolean().optional(),
  access_key_id: z.string().min(1).max(256).optional(),
  secret_access_key: z.string().min(1).max(1024).optional(),
  session_token: z.string().min(1).max(8192).optional(),
  session_token_in_urls: z.boolean().optional(),
  attempts: z.int().min(1).max(10).optional(),
  timeout_ms: z.int().min(100).max(600_000).optional(),
});

export const ArtifactsFile = z.strictObject({
  store: z.enum(["filesystem", "s3"]).optional(),
  keep: z.enum(["asked", "outputs", "all"]).optional(),
  s3: S3File.optional(),
  grants: z
    .array(z.strictObject({ bucket, prefix, access: z.enum(["get", "put", "both"]) }))
    .max(1000)
    .optional(),
});

export interface S3Config {
  readonly bucket: string;
  /** Put before every key of the store; empty or ending with `/`. */
  readonly prefix: string;
  /** Undefined: the one of the region at AWS. */
  readonly endpoint: string | undefined;
  /** How sandboxes reach `endpoint`, when that is by another name. */
  readonly sandboxEndpoint: string | undefined;
  readonly region: string | undefined;
  readonly pathStyle: boolean;
  /** Undefined: the provider chain of the AWS SDK (environment, profile, container, instance). */
  readonly credentials:
    | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
    | undefined;
  /**
   * Temporary credentials put their session token into every URL they sign; only with this do such URLs enter a
   * sandbox.
   */
  readonly sessionTokenInUrls: boolean;
  readonly attempts: number;
  /** For connecting, and for each silence of the server. */
  readonly timeoutMs: number;
}

/** Objects that the tools `s3_get` and `s3_put` may reach. */
export interface ObjectGrant {
  readonly bucket: string;
  /** Of the key; empty for all of the bucket, else ending with `/`. */
  readonly prefix: string;
  readonly access: "get" | "put" | "both";
}

export interface ArtifactsConfig {
  readonly store: "filesystem" | "s3";
  /** What is stored after every task: nothing unasked, spilled outputs, or all that `--upload` stores. */
  readonly keep: "asked" | "outputs" | "all";
  readonly s3: S3Config | undefined;
  readonly grants: readonly ObjectGrant[];
}

/** Throws `invalid_config` naming the setting. */
export function compileArtifacts(file: z.infer<typeof ArtifactsFile>, env: NodeJS.ProcessEnv): ArtifactsConfig {
  const store = z.enum(["filesystem", "s3"]).safeParse(env["PADDOCK_ARTIFACTS"] ?? file.store ?? "filesystem");
  if (!store.success)
    throw new PaddockError("invalid_config", `PADDOCK_ARTIFACTS is ${env["PADDOCK_ARTIFACTS"]}; use filesystem or s3`);
  if (store.data === "s3" && file.s3 === undefined)
    throw new PaddockError("invalid_config", "artifacts.store is s3, but artifacts.s3 names no bucket");
  return {
    store: store.data,
    keep: file.keep ?? "asked",
    s3: file.s3 === undefined ? undefined : compileS3(file.s3),
    grants: file.grants ?? [],
  };
}

function compileS3(file: z.infer<typeof S3File>): S3Config {
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey, session_token: sessionToken } = file;
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined))
    throw new PaddockError("invalid_config", "artifacts.s3: access_key_id and secret_access_key belong together");
  return {
    bucket: file.bucket,
    prefix: file.prefix ?? "",
    endpoint: file.endpoint,
    sandboxEndpoint: file.sandbox_endpoint,
    region: file.region,
    pathStyle: file.path_style ?? file.endpoint !== undefined,
    credentials:
      accessKeyId === undefined || secretAccessKey === undefined
        ? undefined
        : { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
    sessionTokenInUrls: file.session_token_in_urls ?? false,
    attempts: file.attempts ?? 3,
    timeoutMs: file.timeout_ms ?? 15_000,
  };
}
