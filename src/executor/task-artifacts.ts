import { toPaddockError } from "../errors/error.ts";
import { ChunkPipe } from "../lib/chunk-pipe.ts";
import type { FileChange, OutputRecord, ToolCallRecord } from "../model/record.ts";
import type { ArtifactRecord, TaskArtifacts } from "../model/result.ts";
import type { ArtifactStore } from "../store/artifact-store.ts";
import type { ToolFiles } from "../tools/target.ts";

/** Artifacts on their way at once. */
const AT_ONCE = 4;
/** For all artifacts of a task together. */
const STORE_MS = 10 * 60 * 1000;

export interface StoreRequest {
  /** Put before all keys. Default: `tasks/<task id>`. */
  readonly prefix?: string;
  /** Default: all. */
  readonly what?: "outputs" | "all";
}

type Files = Pick<ToolFiles, "readTo">;
type Kind = ArtifactRecord["kind"];
type Item = Pick<ArtifactRecord, "kind" | "path" | "tool_call_id"> & {
  readonly key: string;
  readonly sha256: string | undefined;
  readonly bytes: number | undefined;
};

/** Stores what a task made. A failure is listed with its code; it never ends the task or loses its result. */
export class TaskArtifactWriter {
  readonly #store: ArtifactStore;
  readonly #prefix: string;
  readonly what: "outputs" | "all";
  readonly #signal: AbortSignal;
  readonly #stored: ArtifactRecord[] = [];
  readonly #failed: TaskArtifacts["failed"][number][] = [];
  #leftOut: readonly string[] = [];

  constructor(store: ArtifactStore, taskId: string, request: StoreRequest, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#prefix = (request.prefix ?? `tasks/${taskId}`).replace(/\/+$/, "");
    this.what = request.what ?? "all";
    const timeout = AbortSignal.timeout(STORE_MS);
    this.#signal = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  }

  /**
   * Spilled outputs and, with `all`, every regular file that the calls created or modified and did not delete again.
   */
  async storeFiles(files: Files, records: readonly ToolCallRecord[]): Promise<void> {
    const items = records.flatMap((record) => this.#outputItems(record));
    if (this.what === "all") {
      const { files: made, leftOut } = findFiles(records);
      this.#leftOut = leftOut;
      items.push(...made.map((file) => this.#fileItem(file)));
    }
    const queue = items.values();
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (const item of queue) await this.#storeFile(files, item);
      }),
    );
  }

  async storeText(
    kind: Extract<Kind, "result" | "report">,
    name: string,
    text: string,
    contentType: string,
  ): Promise<void> {
    const key = this.#key(name);
    await this.#attempt({ kind, key }, async () => {
      return await this.#store.put(key, Buffer.from(text), { contentType, signal: this.#signal });
    });
  }

  finish(): TaskArtifacts {
    return {
      store: this.#store.kind,
      prefix: this.#prefix,
      stored: this.#stored.toSorted(byKey),
      failed: this.#failed.toSorted(byKey),
      left_out: this.#leftOut,
    };
  }

  /** Read inside the sandbox, never by a path of the host, and only as fast as the store takes it. */
  async #storeFile(files: Files, item: Item): Promise<void> {
    const { kind, key, path = "", tool_call_id, sha256, bytes } = item;
    const named = { kind, key, path, ...(tool_call_id === undefined ? {} : { tool_call_id }) };
    await this.#attempt(named, async () => {
      const pipe = new ChunkPipe();
      files
        .readTo(path, (chunk) => pipe.push(chunk))
        .then(
          () => pipe.end(),
          (thrown: unknown) => pipe.fail(thrown),
        );
      const expected = { ...(sha256 === undefined ? {} : { sha256 }), ...(bytes === undefined ? {} : { bytes }) };
      return await this.#store.put(key, pipe, { ...expected, signal: this.#signal });
    });
  }

  async #attempt(
    named: Pick<ArtifactRecord, "kind" | "key" | "path" | "tool_call_id">,
    put: () => Promise<{ url: string; bytes: number; sha256: string }>,
  ): Promise<void> {
    try {
      const { url, bytes, sha256 } = await put();
      this.#stored.push({ ...named, url, bytes, sha256 });
    } catch (thrown) {
      this.#failed.push({ ...named, error: toPaddockError(thrown).toJSON() });
    }
  }

  #outputItems(record: ToolCallRecord): Item[] {
    const item = (stream: "stdout" | "stderr", { spill }: OutputRecord): Item[] => {
      if (spill === undefined) return [];
      const { path, bytes, sha256 } = spill;
      const key = this.#key(`outputs/${record.tool_call_id}.${stream}`);
      return [{ kind: "output", key, path, tool_call_id: record.tool_call_id, sha256, bytes }];
    };
    return [...item("stdout", record.stdout), ...item("stderr", record.stderr)];
  }

  #fileItem({ path, size, sha256 }: FileChange): Item {
    return { kind: "file", key: this.#key(`files/${path}`), path, sha256, bytes: size };
  }

  #key(name: string): string {
    // Joined and not resolved: the store refuses a key that climbs, and would not see it afterwards.
    return this.#prefix === "" ? name : `${this.#prefix}/${name}`;
  }
}

const byKey = (one: { readonly key: string }, other: { readonly key: string }): number =>
  one.key < other.key ? -1 : 1;

/** The last state of each path. Package trees, links and what was not listed are left out, and said to be. */
function findFiles(records: readonly ToolCallRecord[]): { files: FileChange[]; leftOut: string[] } {
  const files = new Map<string, FileChange>();
  let unlisted = 0;
  for (const record of records) {
    for (const change of [...record.files_created, ...record.files_modified]) files.set(change.path, change);
    for (const { path } of record.files_deleted) files.delete(path);
    unlisted += record.files_more;
  }
  const all = [...files.values()].filter(({ type }) => type !== "dir");
  const leftOut = all.filter(({ type }) => type !== "file").map(({ path, type }) => `${path} (${type})`);
  if (unlisted > 0) leftOut.push(`${unlisted} changes that the records do not list`);
  return { files: all.filter(({ type }) => type === "file"), leftOut };
}
