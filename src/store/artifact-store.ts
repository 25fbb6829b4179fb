/** Bytes to store. A stream is read once, as fast as the store takes it. */
export type ArtifactContent = Uint8Array | AsyncIterable<Uint8Array>;

export interface ArtifactSummary {
  readonly key: string;
  readonly bytes: number;
  /** RFC 3339. */
  readonly modified: string;
}

export interface ArtifactInfo extends ArtifactSummary {
  /** Absent when the store does not know it: a large object that was written without naming its sha256 first. */
  readonly sha256?: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface StoredArtifact {
  readonly key: string;
  /** Where it lies: a `file:` URL or `s3://bucket/key`. It grants nothing. */
  readonly url: string;
  readonly bytes: number;
  /** Of what was stored, computed on the way. */
  readonly sha256: string;
}

export interface PutArtifactOptions {
  /** Default: `application/octet-stream`. */
  readonly contentType?: string;
  /** Names of lower-case letters, digits and hyphens; values of printable ASCII; at most 1,500 bytes together. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** What the content must be: anything else fails with `artifact_failed` and leaves nothing. */
  readonly bytes?: number;
  readonly sha256?: string;
  /** Fail with `artifact_exists` when the key is taken. Default: replace. */
  readonly createOnly?: boolean;
  readonly signal?: AbortSignal;
}

/** Must begin inside the content, else `invalid_request`. */
export interface ByteRange {
  readonly offset: number;
  /** Default: to the end. */
  readonly length?: number;
}

export interface ArtifactPage {
  /** In the order of their keys' UTF-8 bytes. */
  readonly artifacts: readonly ArtifactSummary[];
  /** Give it as `after` for the next page; absent on the last one. */
  readonly next?: string;
}

/** A request that whoever holds it can make once or many times until it expires, and nothing else. */
export type PresignRequest =
  | { readonly method: "GET"; readonly key: string; readonly expiresMs?: number }
  | {
      readonly method: "PUT";
      readonly key: string;
      readonly bytes: number;
      readonly sha256: string;
      readonly expiresMs?: number;
    };

export interface PresignedRequest {
  readonly method: "GET" | "PUT";
  /** Its query is a secret until `expires`. */
  readonly url: string;
  /** Signed: they have to be sent as they are. */
  readonly headers: Readonly<Record<string, string>>;
  /** RFC 3339. */
  readonly expires: string;
}

/**
 * Keeps artifacts by key. A key is 1 to 1,024 bytes of text, in segments parted by `/`: none empty, `.` or `..`, no
 * control characters. All operations throw `artifact_failed` when the store fails, `not_found` for a missing key,
 * `invalid_request` for a bad key and `cancelled` when their signal aborts.
 */
export interface ArtifactStore extends AsyncDisposable {
  readonly kind: "filesystem" | "s3";
  readonly capabilities: { readonly presign: boolean };
  /** Stores all of the content or nothing. */
  put(key: string, content: ArtifactContent, options?: PutArtifactOptions): Promise<StoredArtifact>;
  /** The stream throws what reading it throws; leave it early by ending the loop. */
  get(
    key: string,
    options?: { readonly range?: ByteRange; readonly signal?: AbortSignal },
  ): Promise<{ readonly info: ArtifactInfo; readonly content: AsyncIterable<Buffer> }>;
  head(key: string, options?: { readonly signal?: AbortSignal }): Promise<ArtifactInfo>;
  /** `limit`: 1 to 1,000, default 1,000. */
  list(options?: {
    readonly prefix?: string;
    readonly limit?: number;
    readonly after?: string;
    readonly signal?: AbortSignal;
  }): Promise<ArtifactPage>;
  /** A missing key is fine. */
  remove(key: string, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** At most and by default five minutes. Throws `unsupported` where `capabilities.presign` is false. */
  presign(request: PresignRequest): Promise<PresignedRequest>;
}
