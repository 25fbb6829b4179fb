import { randomUUID } from "node:crypto";
import { constants, linkSync, readFileSync, renameSync } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { PaddockError } from "../../errors/error.ts";
import { codeOf, isMissing } from "../../lib/if-there.ts";
import type {
  ArtifactContent,
  ArtifactInfo,
  ArtifactPage,
  ArtifactStore,
  ByteRange,
  PutArtifactOptions,
  StoredArtifact,
} from "../artifact-store.ts";
import { cancelled, MeteredContent } from "./content.ts";
import { fileFailure } from "./file-errors.ts";
import { entryPath, findEntries } from "./file-index.ts";
import { assertKey, assertMetadata, assertPrefix, compareKeys, pageLimit } from "./key.ts";

const CHUNK_BYTES = 256 * 1024;
const MAX_NAME_LENGTH = 100;
/** A reader that meets a replacement takes the new content; more than a few in a row are no accident. */
const MAX_REPLACEMENTS = 5;

const Entry = z.strictObject({
  key: z.string(),
  /** The content's file, relative to the store's folder. */
  blob: z.string().regex(/^blobs\/[0-9a-f-]{36}\/[^/]+$/),
  bytes: z.int().min(0),
  sha256: z.string(),
  modified: z.string(),
  content_type: z.string(),
  metadata: z.record(z.string(), z.string()),
});
type Entry = z.infer<typeof Entry>;

/**
 * Artifacts in a folder of this machine: contents in `blobs/<id>/<name>`, and an entry for each key in `index/`.
 * Replacing the entry is what makes a put visible, all at once.
 */
export class FilesystemArtifacts implements ArtifactStore {
  readonly kind = "filesystem";
  readonly capabilities = { presign: false };
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async put(key: string, content: ArtifactContent, options: PutArtifactOptions = {}): Promise<StoredArtifact> {
    assertKey(key);
    assertMetadata(options.metadata ?? {});
    const metered = new MeteredContent(content, options, options.signal);
    const blob = `blobs/${randomUUID()}/${fileName(key)}`;
    try {
      await writeBlob(join(this.#root, blob), metered);
      if (options.signal?.aborted) throw cancelled(options.signal);
      await this.#publish(makeEntry(key, blob, metered, options), options.createOnly ?? false);
    } catch (thrown) {
      await rm(dirname(join(this.#root, blob)), { recursive: true, force: true });
      throw fileFailure(thrown, `artifact ${key} could not be stored`);
    }
    return { key, url: this.#url(blob), bytes: metered.bytes, sha256: metered.sha256 };
  }

  async get(
    key: string,
    options: { readonly range?: ByteRange; readonly signal?: AbortSignal } = {},
  ): Promise<{ info: ArtifactInfo; content: AsyncIterable<Buffer> }> {
    const { entry, file } = await this.#open(key, MAX_REPLACEMENTS);
    const { offset = 0, length } = options.range ?? {};
    if (options.range !== undefined && (offset < 0 || offset >= entry.bytes || (length ?? 1) < 1)) {
      await file.close();
      throw new PaddockError(
        "invalid_request",
        `the range begins at ${offset}, artifact ${key} has ${entry.bytes} bytes`,
      );
    }
    const end = length === undefined ? entry.bytes : Math.min(entry.bytes, offset + length);
    return { info: toInfo(entry), content: readBlob(file, offset, end, options.signal) };
  }

  async head(key: string): Promise<ArtifactInfo> {
    return toInfo(await this.#read(key));
  }

  async list(
    options: { readonly prefix?: string; readonly limit?: number; readonly after?: string } = {},
  ): Promise<ArtifactPage> {
    const { prefix = "", after = "" } = options;
    assertPrefix(prefix);
    const limit = pageLimit(options.limit);
    const found: Entry[] = [];
    for await (const path of findEntries(join(this.#root, "index"), prefix)) {
      const entry = await readEntry(path);
      const fits = entry?.key.startsWith(prefix) && (after === "" || compareKeys(entry.key, after) > 0);
      if (entry !== undefined && fits === true) found.push(entry);
    }
    const page = found.sort((one, other) => compareKeys(one.key, other.key)).slice(0, limit);
    const next = found.length > limit ? page.at(-1)?.key : undefined;
    const artifacts = page.map(({ key, bytes, modified }) => ({ key, bytes, modified }));
    return next === undefined ? { artifacts } : { artifacts, next };
  }

  async remove(key: string): Promise<void> {
    assertKey(key);
    const path = this.#entryPath(key);
    const entry = await readEntry(path);
    if (entry === undefined) return;
    try {
      await rm(path, { force: true });
      await this.#removeBlob(entry.blob);
    } catch (thrown) {
      throw fileFailure(thrown, `artifact ${key} could not be removed`);
    }
  }

  async presign(): Promise<never> {
    throw new PaddockError("unsupported", "the filesystem store signs no URLs", {
      hint: "Configure artifacts.s3 (docs/artifacts.md).",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }

  /**
   * Reading the old entry and replacing it is one turn, so that each content of this process is removed by who replaced
   * it.
   */
  async #publish(entry: Entry, createOnly: boolean): Promise<void> {
    const path = this.#entryPath(entry.key);
    const part = join(this.#root, dirname(entry.blob), "entry.json");
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(part, JSON.stringify(entry), { mode: 0o600, flush: true });
    if (createOnly) {
      linkNew(part, path, entry.key);
      await rm(part, { force: true });
      return;
    }
    const old = readEntrySync(path);
    renameSync(part, path);
    if (old !== undefined) await this.#removeBlob(old.blob);
  }

  async #open(key: string, tries: number): Promise<{ entry: Entry; file: FileHandle }> {
    const entry = await this.#read(key);
    try {
      const file = await open(join(this.#root, entry.blob), constants.O_RDONLY | constants.O_NOFOLLOW);
      return { entry, file };
    } catch (thrown) {
      if (isMissing(thrown) && tries > 0) return await this.#open(key, tries - 1);
      throw fileFailure(thrown, `artifact ${key} could not be read`);
    }
  }

  async #read(key: string): Promise<Entry> {
    assertKey(key);
    const entry = await readEntry(this.#entryPath(key));
    if (entry?.key === key) return entry;
    throw new PaddockError("not_found", `no artifact ${key}`, { hint: "Check the key; keys are case-sensitive." });
  }

  async #removeBlob(blob: string): Promise<void> {
    await rm(dirname(join(this.#root, blob)), { recursive: true, force: true });
  }

  #entryPath(key: string): string {
    return join(this.#root, "index", entryPath(key));
  }

  #url(blob: string): string {
    return pathToFileURL(join(this.#root, blob)).href;
  }
}

/** The last part of a key as a plain name, so that a stored report opens as what it is. */
function fileName(key: string): string {
  const last = key.slice(key.lastIndexOf("/") + 1);
  const name = last.replaceAll(/[^A-Za-z0-9_.-]+/g, "_").slice(-MAX_NAME_LENGTH);
  return name === "entry.json" || /^\.*$/.test(name) ? `_${name}` : name;
}

async function writeBlob(path: string, content: MeteredContent): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const part = `${path}.part`;
  const file = await open(part, "wx", 0o600);
  try {
    for await (const chunk of content) await file.writeFile(chunk);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(part, path);
}

async function* readBlob(
  file: FileHandle,
  offset: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  try {
    for (let position = offset; position < end; ) {
      if (signal?.aborted) throw cancelled(signal);
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - position));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0)
        throw new PaddockError("artifact_failed", "the artifact's file is shorter than its entry says");
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function makeEntry(key: string, blob: string, content: MeteredContent, options: PutArtifactOptions): Entry {
  return {
    key,
    blob,
    bytes: content.bytes,
    sha256: content.sha256,
    modified: new Date().toISOString(),
    content_type: options.contentType ?? "application/octet-stream",
    metadata: { ...options.metadata },
  };
}

function toInfo(entry: Entry): ArtifactInfo {
  const { key, bytes, sha256, modified, metadata, content_type: contentType } = entry;
  return { key, bytes, sha256, modified, contentType, metadata };
}

function linkNew(part: string, path: string, key: string): void {
  try {
    linkSync(part, path);
  } catch (thrown) {
    if (codeOf(thrown) === "EEXIST") throw new PaddockError("artifact_exists", `there is an artifact ${key}`);
    throw thrown;
  }
}

async function readEntry(path: string): Promise<Entry | undefined> {
  try {
    return Entry.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw fileFailure(thrown, `the store's entry ${path} cannot be read`);
  }
}

function readEntrySync(path: string): Entry | undefined {
  try {
    return Entry.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined;
  }
}
