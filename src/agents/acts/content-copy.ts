import { PaddockError } from "../../errors/error.ts";
import { ifFound } from "../../errors/not-found.ts";
import { ChunkPipe } from "../../lib/chunk-pipe.ts";
import type { SandboxFiles } from "../../sandbox/files.ts";
import type { ArtifactStore } from "../../store/artifact-store.ts";
import type { PublishedFile } from "../../store/state-store/publications.ts";

const FOLDER = "content";
const MAX_FILES = 2000;
/** Folders, links and odd entries count here too. */
const MAX_ENTRIES = 20_000;
const MAX_DEPTH = 32;
const MAX_BYTES = 256 * 1024 * 1024;
const AT_ONCE = 4;
/** Control characters, and what a URL path would have to spell in more than one way. */
const ODD_PATH = /[\p{Cc}\\]/u;

/**
 * Stores the regular files of `content/` under `prefix`, as they are read now, and returns them by their paths below
 * it. Links, odd entries and names with control characters are left out. Throws `too_large` with the limit, and what
 * the store throws; nothing of it is left stored then.
 */
export async function takeSnapshot(
  files: SandboxFiles,
  artifacts: ArtifactStore,
  prefix: string,
  signal: AbortSignal,
): Promise<readonly PublishedFile[]> {
  const snapshot = new Snapshot(files, artifacts, prefix, signal);
  try {
    return await snapshot.take(await listContent(files));
  } catch (error) {
    await snapshot.undo();
    throw error;
  }
}

/** Paths of regular files below `content/`. */
async function listContent(files: SandboxFiles): Promise<readonly string[]> {
  if (!(await isFolder(files))) return [];
  const { entries, truncated } = await files.list(FOLDER, { depth: MAX_DEPTH, limit: MAX_ENTRIES });
  if (truncated) throw tooLarge(`more than ${MAX_ENTRIES} entries`);
  const regular = entries.filter(({ type, path }) => type === "file" && !ODD_PATH.test(path));
  if (regular.length > MAX_FILES) throw tooLarge(`${regular.length} files; at most ${MAX_FILES}`);
  if (regular.reduce((sum, { size }) => sum + size, 0) > MAX_BYTES) throw tooManyBytes();
  return regular.map(({ path }) => path.slice(FOLDER.length + 1));
}

async function isFolder(files: SandboxFiles): Promise<boolean> {
  return (await ifFound(files.stat(FOLDER)))?.type === "dir";
}

class Snapshot {
  readonly #files: SandboxFiles;
  readonly #artifacts: ArtifactStore;
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  /** Aborts what still runs when one file fails. */
  readonly #failed = new AbortController();
  readonly #keys: string[] = [];
  #bytes = 0;

  constructor(files: SandboxFiles, artifacts: ArtifactStore, prefix: string, signal: AbortSignal) {
    this.#files = files;
    this.#artifacts = artifacts;
    this.#prefix = prefix;
    this.#signal = AbortSignal.any([signal, this.#failed.signal]);
  }

  async take(paths: readonly string[]): Promise<readonly PublishedFile[]> {
    const published: PublishedFile[] = [];
    const queue = paths.entries();
    const work = async (): Promise<void> => {
      for (const [index, path] of queue) {
        const file = await this.#store(path, `${this.#prefix}/${index}`);
        if (file !== undefined) published.push(file);
      }
    };
    const ends = await Promise.allSettled(
      Array.from({ length: AT_ONCE }, () => work().catch((error) => this.#fail(error))),
    );
    this.#signal.throwIfAborted();
    const failure = ends.find((end) => end.status === "rejected");
    if (failure !== undefined) throw failure.reason;
    return published.toSorted((one, other) => (one.path < other.path ? -1 : 1));
  }

  /** Removes what was stored, as far as the store lets it. */
  async undo(): Promise<void> {
    await Promise.allSettled(this.#keys.map((key) => this.#artifacts.remove(key)));
  }

  #fail(error: unknown): never {
    this.#failed.abort(error);
    throw error;
  }

  /** Undefined for what is no file, or none any more. */
  async #store(path: string, key: string): Promise<PublishedFile | undefined> {
    this.#signal.throwIfAborted();
    const pipe = new ChunkPipe();
    // The store may report what stopped the stream in words of its own.
    let fault: unknown;
    const stop = (error: unknown): void => {
      fault ??= error;
      pipe.fail(error);
    };
    const push = (chunk: Buffer): void | Promise<void> => {
      this.#bytes += chunk.length;
      return this.#bytes > MAX_BYTES ? stop(tooManyBytes()) : pipe.push(chunk);
    };
    this.#files.readTo(`${FOLDER}/${path}`, push).then(() => pipe.end(), stop);
    this.#keys.push(key);
    try {
      const { bytes, sha256 } = await this.#artifacts.put(key, pipe, { signal: this.#signal });
      return { path, artifactKey: key, bytes, sha256 };
    } catch (error) {
      if (fault instanceof PaddockError && NO_FILE.has(fault.context["reason"])) return undefined;
      throw fault ?? error;
    }
  }
}

/** What the sandbox says of a file that is gone, is none any more, or may not be read. */
const NO_FILE: ReadonlySet<unknown> = new Set([
  "not_found",
  "not_a_file",
  "not_a_directory",
  "is_a_directory",
  "permission",
  "refused",
]);

const tooLarge = (what: string): PaddockError =>
  new PaddockError("too_large", `${FOLDER}/ holds ${what}`, {
    hint: "Publish fewer or smaller files (docs/agents.md).",
  });

const tooManyBytes = (): PaddockError => tooLarge(`more than ${MAX_BYTES / (1024 * 1024)} MiB`);
