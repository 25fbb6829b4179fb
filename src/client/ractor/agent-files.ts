import { posix } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import type { FileEntry } from "../../sandbox/channel/messages.ts";
import { belowAgent } from "./paths.ts";
import type { RactorClient } from "./ractor-client.ts";
import { kindOf } from "./refusal.ts";
import type { FileListing } from "./reply-schemas.ts";

const PAGE_LIMIT = 200;
const KINDS: Readonly<Record<string, FileEntry["type"]>> = { file: "file", dir: "dir", symlink: "symlink" };

/** Reading below `/agent` through the server's file interface. */
export class AgentFiles {
  readonly #client: RactorClient;
  readonly #agent: string;
  readonly #signal: AbortSignal;

  constructor(client: RactorClient, agent: string, signal: AbortSignal) {
    this.#client = client;
    this.#agent = agent;
    this.#signal = signal;
  }

  /** A whole file, at most 25 MiB. Throws `not_found`, `path_refused` for what lies elsewhere, `file_error`. */
  async readFile(path: string): Promise<Buffer> {
    try {
      return await this.#client.readFile(this.#agent, relative(path), this.#signal);
    } catch (error) {
      throw isRefused(error) ? fileError(path, error) : error;
    }
  }

  /** Entries below a folder, as a local sandbox lists them; modes and times are the server's. */
  async list(path: string, depth: number, limit: number): Promise<{ entries: FileEntry[]; truncated: boolean }> {
    const entries: FileEntry[] = [];
    const folders = [{ path: relative(path), prefix: "", level: 1 }];
    for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
      for (const found of await this.#listOne(folder.path)) {
        if (entries.length >= limit) return { entries, truncated: true };
        const entry = describeEntry(found, posix.join(folder.prefix, found.name));
        entries.push(entry);
        const below = { path: posix.join(folder.path, found.name), prefix: entry.path, level: folder.level + 1 };
        if (entry.type === "dir" && folder.level < depth) folders.push(below);
      }
    }
    return { entries, truncated: false };
  }

  async #listOne(path: string): Promise<FileListing["entries"]> {
    const entries: FileListing["entries"] = [];
    let offset = 0;
    for (let page = 0; page < PAGE_LIMIT; page++) {
      const listing = await this.#client.listFiles(this.#agent, path, offset, this.#signal).catch((error: unknown) => {
        throw isRefused(error) ? fileError(path, error) : error;
      });
      entries.push(...listing.entries.filter(({ name }) => name !== "" && !name.includes("/")));
      if (listing.next_offset == null || listing.next_offset <= offset) return entries;
      offset = listing.next_offset;
    }
    return entries;
  }
}

function relative(path: string): string {
  const below = belowAgent(posix.normalize(path));
  if (below === undefined)
    throw new PaddockError("path_refused", `${path} is outside /agent, which is all that a Ractor server shows`);
  return below.replace(/\/+$/, "");
}

const isRefused = (error: unknown): boolean => kindOf(error) === "request";
const fileError = (path: string, cause: unknown): PaddockError =>
  new PaddockError("file_error", `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });

function describeEntry({ kind, size, mode, mtime }: FileListing["entries"][number], path: string): FileEntry {
  const octal = Number.parseInt(mode, 8);
  const time = Date.parse(mtime);
  return {
    path,
    type: KINDS[kind] ?? "other",
    size: Math.trunc(size),
    mode: Number.isNaN(octal) ? 0 : octal,
    mtime_ms: Number.isNaN(time) ? 0 : time,
    target: null,
  };
}
