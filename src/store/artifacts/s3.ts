import type { GetObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";
import type { S3Config } from "../../config/artifacts.ts";
import { PaddockError } from "../../errors/error.ts";
import { ifFound } from "../../errors/not-found.ts";
import type {
  ArtifactContent,
  ArtifactInfo,
  ArtifactPage,
  ArtifactStore,
  ByteRange,
  PresignedRequest,
  PresignRequest,
  PutArtifactOptions,
  StoredArtifact,
} from "../artifact-store.ts";
import { MeteredContent } from "./content.ts";
import { assertKey, assertMetadata, assertPrefix, pageLimit } from "./key.ts";
import { loadS3, makeS3Client } from "./s3-client.ts";
import { hasStatus, isMissingKey, s3Failure } from "./s3-errors.ts";
import { presignObject } from "./s3-presign.ts";
import { uploadObject } from "./s3-upload.ts";

const SHA256 = "paddock-sha256";

/** Artifacts as objects of one bucket, below the configured prefix. */
export class S3Artifacts implements ArtifactStore {
  readonly kind = "s3";
  readonly capabilities = { presign: true };
  readonly #config: S3Config;
  #client: Promise<S3Client> | undefined;

  constructor(config: S3Config) {
    this.#config = config;
  }

  async put(key: string, content: ArtifactContent, options: PutArtifactOptions = {}): Promise<StoredArtifact> {
    assertKey(key);
    assertMetadata(options.metadata ?? {});
    const metered = new MeteredContent(content, options, options.signal);
    const sha256 = options.sha256 === undefined ? {} : { [SHA256]: options.sha256 };
    const place = { ...this.#place(key), ContentType: options.contentType ?? "application/octet-stream" };
    const only = options.createOnly === true ? { IfNoneMatch: "*" } : {};
    const object = { ...place, ...only, Metadata: { ...options.metadata, ...sha256 } };
    try {
      // A server may check the condition of a small object only.
      if (options.createOnly === true && (await this.#exists(key, options.signal))) throw exists(key);
      await uploadObject(await this.#open(), object, metered, SHA256, options.signal);
    } catch (thrown) {
      if (hasStatus(thrown, 412)) throw exists(key);
      throw this.#failure(thrown, key, "stored", options.signal);
    }
    return { key, url: this.#url(key), bytes: metered.bytes, sha256: metered.sha256 };
  }

  async get(
    key: string,
    options: { readonly range?: ByteRange; readonly signal?: AbortSignal } = {},
  ): Promise<{ info: ArtifactInfo; content: AsyncIterable<Buffer> }> {
    assertKey(key);
    const { range, signal } = options;
    try {
      const { GetObjectCommand } = await loadS3();
      const command = new GetObjectCommand({ ...this.#place(key), ...rangeField(range) });
      const answer = await (await this.#open()).send(command, sending(signal));
      const content = answer.Body as unknown as AsyncIterable<Buffer>;
      return { info: toInfo(key, answer, totalBytes(answer)), content: this.#guard(content, key, signal) };
    } catch (thrown) {
      if (hasStatus(thrown, 416))
        throw new PaddockError("invalid_request", `the range begins at ${range?.offset}, artifact ${key} is shorter`);
      throw this.#failure(thrown, key, "read", signal);
    }
  }

  async head(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<ArtifactInfo> {
    assertKey(key);
    try {
      const { HeadObjectCommand } = await loadS3();
      const answer = await (await this.#open()).send(new HeadObjectCommand(this.#place(key)), sending(options.signal));
      return toInfo(key, answer, answer.ContentLength ?? 0);
    } catch (thrown) {
      // The answer to HEAD has no body that would tell a missing key from a missing bucket.
      if (isMissingKey(thrown)) await this.#assertBucket(options.signal);
      throw this.#failure(thrown, key, "read", options.signal);
    }
  }

  async list(
    options: {
      readonly prefix?: string;
      readonly limit?: number;
      readonly after?: string;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<ArtifactPage> {
    const { prefix = "", after, signal } = options;
    assertPrefix(prefix);
    const limit = pageLimit(options.limit);
    const { bucket, prefix: root } = this.#config;
    try {
      const { ListObjectsV2Command } = await loadS3();
      const place = { Bucket: bucket, Prefix: root + prefix, MaxKeys: limit };
      const command = new ListObjectsV2Command(after === undefined ? place : { ...place, StartAfter: root + after });
      const answer = await (await this.#open()).send(command, sending(signal));
      const artifacts = (answer.Contents ?? []).map(({ Key = "", Size = 0, LastModified }) => ({
        key: Key.slice(root.length),
        bytes: Size,
        modified: (LastModified ?? new Date(0)).toISOString(),
      }));
      const next = answer.IsTruncated === true ? artifacts.at(-1)?.key : undefined;
      return next === undefined ? { artifacts } : { artifacts, next };
    } catch (thrown) {
      throw s3Failure(thrown, `s3://${bucket}/${root}${prefix} could not be listed`, signal);
    }
  }

  async remove(key: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key);
    try {
      const { DeleteObjectCommand } = await loadS3();
      await (await this.#open()).send(new DeleteObjectCommand(this.#place(key)), sending(options.signal));
    } catch (thrown) {
      if (!isMissingKey(thrown)) throw this.#failure(thrown, key, "removed", options.signal);
    }
  }

  async presign(request: PresignRequest): Promise<PresignedRequest> {
    assertKey(request.key);
    const key = this.#config.prefix + request.key;
    return await presignObject(await this.#open(), this.#config, this.#config.bucket, { ...request, key });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    (await this.#client?.catch(() => undefined))?.destroy();
    this.#client = undefined;
  }

  #open(): Promise<S3Client> {
    this.#client ??= makeS3Client(this.#config);
    return this.#client;
  }

  #place(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#config.bucket, Key: this.#config.prefix + key };
  }

  #url(key: string): string {
    return `s3://${this.#config.bucket}/${this.#config.prefix}${key}`;
  }

  async #exists(key: string, signal: AbortSignal | undefined): Promise<boolean> {
    return (await ifFound(this.head(key, signal === undefined ? {} : { signal }))) !== undefined;
  }

  async #assertBucket(signal: AbortSignal | undefined): Promise<void> {
    const { HeadBucketCommand } = await loadS3();
    const { bucket } = this.#config;
    try {
      await (await this.#open()).send(new HeadBucketCommand({ Bucket: bucket }), sending(signal));
    } catch (thrown) {
      const missing = hasStatus(thrown, 404);
      const cause = missing ? Object.assign(new Error("there is no such bucket"), { name: "NoSuchBucket" }) : thrown;
      throw s3Failure(cause, `bucket ${bucket} could not be read`, signal);
    }
  }

  /** A body that breaks off fails as a failure of the store. */
  async *#guard(content: AsyncIterable<Buffer>, key: string, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
    try {
      yield* content;
    } catch (thrown) {
      throw this.#failure(thrown, key, "read", signal);
    }
  }

  #failure(thrown: unknown, key: string, verb: string, signal: AbortSignal | undefined): PaddockError {
    if (!(thrown instanceof PaddockError) && isMissingKey(thrown))
      return new PaddockError("not_found", `no artifact ${key}`, { hint: "Check the key; keys are case-sensitive." });
    return s3Failure(thrown, `${this.#url(key)} could not be ${verb}`, signal);
  }
}

const exists = (key: string): PaddockError => new PaddockError("artifact_exists", `there is an artifact ${key}`);

const sending = (signal: AbortSignal | undefined): { abortSignal?: AbortSignal } =>
  signal === undefined ? {} : { abortSignal: signal };

function rangeField(range: ByteRange | undefined): { Range?: string } {
  if (range === undefined) return {};
  const { offset, length } = range;
  if (!(offset >= 0) || (length ?? 1) < 1)
    throw new PaddockError("invalid_request", "a range has an offset of 0 or more and a length of 1 or more");
  return { Range: `bytes=${offset}-${length === undefined ? "" : offset + length - 1}` };
}

/** Of the whole object, also where only a range of it was sent. */
function totalBytes({ ContentRange, ContentLength = 0 }: GetObjectCommandOutput): number {
  const total = ContentRange?.split("/").at(-1);
  return total === undefined || total === "*" ? ContentLength : Number(total);
}

function toInfo(
  key: string,
  answer: {
    LastModified?: Date | undefined;
    ContentType?: string | undefined;
    Metadata?: Record<string, string> | undefined;
  },
  bytes: number,
): ArtifactInfo {
  const { [SHA256]: sha256, ...metadata } = answer.Metadata ?? {};
  return {
    key,
    bytes,
    modified: (answer.LastModified ?? new Date(0)).toISOString(),
    contentType: answer.ContentType ?? "application/octet-stream",
    metadata,
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}
