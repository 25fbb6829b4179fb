import type { z } from "zod";
import { parseUntrustedJson } from "../lib/json.ts";
import type { ToolCallId } from "../model/ids.ts";
import type { CallBytes } from "./call.ts";
import { breach } from "./channel/frames.ts";
import {
  Changed,
  type DiffEntry,
  DiffLine,
  DONE,
  Entry,
  expectMessage,
  type FileEntry,
  Meta,
} from "./channel/messages.ts";
import type { Request } from "./request.ts";

/** JSON lines of a listing or a diff may take this much memory on the host. */
const MAX_LISTING_BYTES = 64 * 1024 * 1024;
const MAX_LINE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

export interface FileCallOptions {
  readonly callId?: ToolCallId;
  readonly signal?: AbortSignal;
}

export interface WriteOptions extends FileCallOptions {
  /** Default 0o644. */
  readonly mode?: number;
  /** Make missing folders on the way. Default true. */
  readonly parents?: boolean;
  readonly append?: boolean;
  readonly offset?: number;
  readonly exclusive?: boolean;
}

export interface UnpackOptions {
  /** Keep links that leave the tree. */
  readonly anyLink?: boolean;
  readonly withhold?: readonly RegExp[];
  readonly allow?: readonly string[];
}

export interface WriteResult {
  readonly bytes: number;
  readonly sha256: string;
  readonly created: boolean;
  readonly transferred: Readonly<CallBytes>;
}

export interface FileChangeEvent {
  readonly kind: "create" | "modify" | "delete" | "move";
  readonly path: string;
}

/** Files of a sandbox. Paths are relative to the workspace or absolute; every operation runs inside. */
export class SandboxFiles {
  readonly #request: Request;

  constructor(request: Request) {
    this.#request = request;
  }

  /** Streams a file (or a range of it) into `sink`. */
  async readTo(
    path: string,
    sink: (chunk: Buffer) => void | Promise<void>,
    options: FileCallOptions & { readonly offset?: number; readonly length?: number } = {},
  ): Promise<{ size: number; bytes: number; sha256: string; transferred: Readonly<CallBytes> }> {
    let size = 0;
    const request = { op: "read", path, offset: options.offset ?? 0, length: options.length ?? null };
    const event = (control: { readonly op: string }): void => {
      size = expectMessage(Meta, control).size;
    };
    const call = await this.#request(request, DONE.read, { data: sink, event }, options.callId);
    const { bytes, sha256 } = await call.done;
    return { size, bytes, sha256, transferred: call.bytes };
  }

  /** A whole file of at most `maxBytes` (default 16 MiB); a longer one is cut there. */
  async read(path: string, options: FileCallOptions & { readonly maxBytes?: number } = {}): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const length = options.maxBytes ?? 16 * 1024 * 1024;
    await this.readTo(path, (chunk) => void chunks.push(chunk), { ...options, length });
    return Buffer.concat(chunks);
  }

  async write(
    path: string,
    content: Buffer | string | AsyncIterable<Buffer>,
    options: WriteOptions = {},
  ): Promise<WriteResult> {
    const request = {
      op: "write",
      path,
      mode: options.mode ?? 0o644,
      parents: options.parents ?? true,
      append: options.append ?? false,
      offset: options.offset ?? null,
      exclusive: options.exclusive ?? false,
    };
    const call = await this.#request(request, DONE.write, {}, options.callId);
    await feed(call, content);
    return { ...(await call.done), transferred: call.bytes };
  }

  async list(
    path = ".",
    options: FileCallOptions & { readonly depth?: number; readonly limit?: number } = {},
  ): Promise<{ entries: readonly FileEntry[]; truncated: boolean }> {
    const lines = new JsonLines(Entry);
    const request = { op: "list", path, depth: options.depth ?? 1, limit: options.limit ?? 10_000 };
    const call = await this.#request(request, DONE.list, { data: (chunk) => lines.push(chunk) }, options.callId);
    const { truncated } = await call.done;
    return { entries: lines.finish(), truncated };
  }

  async stat(path: string, options: FileCallOptions = {}): Promise<FileEntry> {
    return (await (await this.#request({ op: "stat", path }, DONE.stat, {}, options.callId)).done).entry;
  }

  async makeFolder(path: string, options: FileCallOptions & { readonly parents?: boolean } = {}): Promise<boolean> {
    const request = { op: "mkdir", path, parents: options.parents ?? true };
    return (await (await this.#request(request, DONE.mkdir, {}, options.callId)).done).created;
  }

  async move(from: string, to: string, options: FileCallOptions = {}): Promise<void> {
    await (await this.#request({ op: "move", from, to }, DONE.empty, {}, options.callId)).done;
  }

  /** Removes a file or, with `recursive`, a tree. Returns how many entries went. */
  async remove(path: string, options: FileCallOptions & { readonly recursive?: boolean } = {}): Promise<number> {
    const request = { op: "remove", path, recursive: options.recursive ?? false };
    return (await (await this.#request(request, DONE.remove, {}, options.callId)).done).removed;
  }

  /** Reports changes below `path` until `signal` aborts; resolves with the number of events. */
  async watch(
    path: string,
    onChange: (change: FileChangeEvent) => void,
    signal: AbortSignal,
    recursive = true,
  ): Promise<number> {
    const event = (control: { readonly op: string }): void => {
      const { kind, path: changed } = expectMessage(Changed, control);
      onChange({ kind, path: changed });
    };
    const call = await this.#request({ op: "watch", path, recursive }, DONE.watch, { event });
    const cancel = (): void => call.sendControl({ op: "cancel" });
    if (signal.aborted) cancel();
    else signal.addEventListener("abort", cancel, { once: true });
    return (await call.done.finally(() => signal.removeEventListener("abort", cancel))).events;
  }

  /**
   * Unpacks a tar stream below `path`. Entries that escape, are devices or carry setuid bits refuse the archive by
   * name; so do links that leave the tree, unless `anyLink`. With `withhold` all links, whatever one of the patterns
   * (without regard to case) finds in its path, and what the tree would execute in a new way are left out instead, but
   * for what lies in a path of `allow`; `withheld` begins the list of them.
   */
  async importTar(
    path: string,
    archive: AsyncIterable<Buffer> | Buffer,
    { anyLink = false, withhold, allow = [] }: UnpackOptions = {},
  ): Promise<{ entries: number; bytes: number; withheld: readonly string[]; withheldMore: number }> {
    const patterns = withhold?.map(({ source }) => source) ?? null;
    const request = { op: "tar_in", path, links: anyLink ? "any" : "inside", withhold: patterns, allow };
    const call = await this.#request(request, DONE.tarIn);
    await feed(call, archive);
    const { entries, bytes, withheld, withheld_more } = await call.done;
    return { entries, bytes, withheld, withheldMore: withheld_more };
  }

  /** Packs `path` (or only `paths` below it) as a tar stream into `sink`. */
  async exportTar(
    path: string,
    sink: (chunk: Buffer) => void | Promise<void>,
    paths?: readonly string[],
  ): Promise<{ entries: number; bytes: number }> {
    const call = await this.#request({ op: "tar_out", path, paths: paths ?? null }, DONE.tree, { data: sink });
    const { entries, bytes } = await call.done;
    return { entries, bytes };
  }

  /** Makes the present state the baseline of the next `diff`. */
  async snapshot(options: FileCallOptions = {}): Promise<{ entries: number; bytes: number }> {
    const { entries, bytes } = await (await this.#request({ op: "snapshot" }, DONE.tree, {}, options.callId)).done;
    return { entries, bytes };
  }

  /** Changes since the baseline, which then moves to the present state. Reported from inside. */
  async diff(
    options: FileCallOptions & { readonly maxFiles?: number } = {},
  ): Promise<{ changes: readonly DiffEntry[]; more: number }> {
    const lines = new JsonLines(DiffLine);
    const request = { op: "diff", max_files: options.maxFiles ?? 1000, max_hash_bytes: 64 * 1024 * 1024 };
    const call = await this.#request(request, DONE.diff, { data: (chunk) => lines.push(chunk) }, options.callId);
    const { more } = await call.done;
    return { changes: lines.finish(), more };
  }

  /** Free bytes of the workspace and of /tmp, as seen inside. */
  async space(): Promise<{ workspaceFree: number; tmpFree: number }> {
    const done = await (await this.#request({ op: "space", used: false }, DONE.space)).done;
    return { workspaceFree: done.workspace_free, tmpFree: done.tmp_free };
  }

  /** Bytes (whole blocks) that the workspace's files take; a walk inside. */
  async usedBytes(): Promise<number> {
    const done = await (await this.#request({ op: "space", used: true }, DONE.space)).done;
    return done.workspace_used ?? 0;
  }

  /** sha256 over path, type, mode and content of every entry in sorted order. */
  async hashTree(path = "."): Promise<{ sha256: string; entries: number; bytes: number }> {
    const { sha256, entries, bytes } = await (await this.#request({ op: "hash_tree", path }, DONE.hashTree)).done;
    return { sha256, entries, bytes };
  }
}

/**
 * Sends content as data frames; a call that failed early ends the sending, its error comes from `done`. When reading
 * the content throws, the call is ended first: it would wait for the rest for ever.
 */
async function feed(
  call: {
    sendData(chunk: Buffer): Promise<void>;
    endData(): void;
    sendControl(control: object): void;
    done: Promise<unknown>;
  },
  content: Buffer | string | AsyncIterable<Buffer>,
): Promise<void> {
  let failed = false;
  call.done.catch(() => {
    failed = true;
  });
  try {
    if (typeof content === "string") await call.sendData(Buffer.from(content));
    else if (Buffer.isBuffer(content)) await call.sendData(content);
    else
      for await (const chunk of content) {
        if (failed) break;
        await call.sendData(chunk);
      }
  } catch (error) {
    call.sendControl({ op: "cancel" });
    await call.done.catch(() => undefined);
    throw error;
  }
  call.endData();
}

/**
 * Collects JSON lines of one schema as they come, so that no turn of the event loop parses more than a frame; bounded
 * in bytes.
 */
class JsonLines<Schema extends z.ZodType> {
  readonly #schema: Schema;
  readonly #entries: z.infer<Schema>[] = [];
  /** Of the line that has not ended: joined once, when it does. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #bytes = 0;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_LISTING_BYTES) throw breach("a listing is larger than 64 MiB");
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    if (end > 0) {
      this.#take(Buffer.concat([...this.#rest, chunk.subarray(0, end)]));
      this.#rest = [];
      this.#restBytes = 0;
    }
    this.#restBytes += chunk.length - end;
    if (this.#restBytes > MAX_LINE_BYTES) throw breach("a listing holds a line that is too long");
    if (end < chunk.length) this.#rest.push(Buffer.from(chunk.subarray(end)));
  }

  finish(): z.infer<Schema>[] {
    this.#take(Buffer.concat(this.#rest));
    return this.#entries;
  }

  #take(bytes: Buffer): void {
    for (const line of bytes.toString("utf8").split("\n"))
      if (line !== "") this.#entries.push(expectMessage(this.#schema, parseLine(line)));
  }
}

function parseLine(line: string): unknown {
  try {
    return parseUntrustedJson(line);
  } catch {
    throw breach("a listing holds a line that is no JSON");
  }
}
