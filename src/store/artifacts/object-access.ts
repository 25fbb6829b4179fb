import type { S3Client } from "@aws-sdk/client-s3";
import type { ArtifactsConfig, ObjectGrant, S3Config } from "../../config/artifacts.ts";
import { PaddockError } from "../../errors/error.ts";
import type { PresignedRequest, PresignRequest } from "../artifact-store.ts";
import { assertKey } from "./key.ts";
import { makeS3Client } from "./s3-client.ts";
import { presignObject } from "./s3-presign.ts";

type WithoutKey<Request> = Request extends unknown ? Omit<Request, "key" | "expiresMs"> : never;

/** What a task asks to reach. `bucket` undefined: the store's own, with its prefix before the key. */
export type ObjectRequest = WithoutKey<PresignRequest> & { readonly bucket: string | undefined; readonly key: string };

/** Signs requests for the objects that the operator's configuration grants, and for no other. */
export class GrantedObjects implements AsyncDisposable {
  readonly #config: ArtifactsConfig;
  #client: Promise<S3Client> | undefined;

  constructor(config: ArtifactsConfig) {
    this.#config = config;
  }

  async sign(request: ObjectRequest): Promise<PresignedRequest & { readonly bucket: string; readonly key: string }> {
    const { s3, grants } = this.#config;
    if (s3 === undefined)
      throw new PaddockError("unsupported", "no S3 storage is configured", {
        hint: "The operator configures artifacts.s3 (docs/artifacts.md).",
      });
    const bucket = request.bucket ?? s3.bucket;
    const key = request.bucket === undefined ? s3.prefix + request.key : request.key;
    assertKey(key);
    assertGranted(grants, request.method, bucket, key);
    const { bucket: _bucket, ...rest } = request;
    const signed = await presignObject(await this.#open(s3), s3, bucket, { ...rest, key });
    return { ...signed, bucket, key };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    (await this.#client?.catch(() => undefined))?.destroy();
    this.#client = undefined;
  }

  /** A client that only signs: for the name by which sandboxes reach the server. */
  #open(config: S3Config): Promise<S3Client> {
    this.#client ??= makeS3Client(config, config.sandboxEndpoint ?? config.endpoint);
    return this.#client;
  }
}

function assertGranted(grants: readonly ObjectGrant[], method: "GET" | "PUT", bucket: string, key: string): void {
  const access = method === "GET" ? "get" : "put";
  const granted = grants.some(
    (grant) =>
      grant.bucket === bucket && key.startsWith(grant.prefix) && (grant.access === access || grant.access === "both"),
  );
  if (!granted) throw new PaddockError("object_denied", `${access} of s3://${bucket}/${key} is not granted`);
}
