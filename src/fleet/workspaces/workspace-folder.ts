import { realpathSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import type { FileChange, ToolCallRecord } from "../../model/record.ts";
import type { Fleet, Lease } from "../fleet.ts";
import { EXEC_CONFIG, isExecConfig } from "./exec-config.ts";
import { pipeTree } from "./pipe-tree.ts";

export interface CopyBack {
  readonly written: readonly string[];
  readonly deleted: readonly string[];
  /** Left out: changes to files that tools execute unasked (unless allowed), and links that leave the folder. */
  readonly withheld: readonly string[];
}

/** A host folder that a task works on: copied in before, and only the changes copied back after, both by porters. */
export class WorkspaceFolder {
  readonly #fleet: Fleet;
  readonly #path: string;
  readonly #owner: { readonly uid: number; readonly gid: number };

  constructor(fleet: Fleet, path: string) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats?.isDirectory())
      throw new PaddockError("not_found", `--workspace ${path} is no folder`, {
        hint: "Name a folder of this machine.",
      });
    this.#fleet = fleet;
    this.#path = realpathSync(path);
    this.#owner = { uid: stats.uid, gid: stats.gid };
  }

  async copyIn(lease: Lease, signal: AbortSignal): Promise<{ entries: number; bytes: number }> {
    await using porter = await this.#fleet.openPorter(this.#path, this.#owner, true, signal);
    return await pipeTree(porter.sandbox.files, lease.sandbox.files, undefined, { anyLink: true });
  }

  /** Brings back what the records of the task list as changed. */
  async copyBack(
    lease: Lease,
    records: readonly ToolCallRecord[],
    allowExecConfig: boolean,
    signal: AbortSignal,
  ): Promise<CopyBack> {
    if (records.some((record) => record.files_unknown || record.files_more > 0)) {
      throw new PaddockError("file_error", "the changes of the task are not fully known, so nothing was copied back", {
        hint: "Fetch files one by one, or run with fewer changed files per call (docs/workspace.md).",
      });
    }
    const { changed, deleted } = sumChanges(records);
    const escaping = await findEscapingLinks(lease, records, changed);
    const withheld = [...escaping, ...(allowExecConfig ? [] : [...changed, ...deleted].filter(isExecConfig))];
    const keep = (path: string): boolean => !withheld.includes(path);
    const written = changed.filter(keep);
    const removed = deleted.filter(keep);
    if (written.length === 0 && removed.length === 0) return { written, deleted: removed, withheld };
    await using porter = await this.#fleet.openPorter(this.#path, this.#owner, false, signal);
    const trees = listTrees(records);
    // Deepest first, and a folder only when it is empty: it may hold what is withheld, or what came after the copy.
    for (const path of removed.toSorted((a, b) => (a < b ? 1 : -1)))
      await porter.sandbox.files.remove(path, { recursive: trees.has(path) }).catch(ignoreKept);
    if (written.length > 0) {
      // A path that is listed stands for everything below it, so each entry is judged once more where it is unpacked.
      const withhold = allowExecConfig ? [] : EXEC_CONFIG;
      const unpacked = await pipeTree(lease.sandbox.files, porter.sandbox.files, written, { withhold });
      withheld.push(...unpacked.withheld);
      if (unpacked.withheldMore > 0) withheld.push(`(${unpacked.withheldMore} more)`);
    }
    return { written, deleted: removed, withheld };
  }
}

/** Changed links whose target is absolute or climbs out: harmless inside, a trap on the host. */
async function findEscapingLinks(
  lease: Lease,
  records: readonly ToolCallRecord[],
  changed: readonly string[],
): Promise<string[]> {
  const links = new Set(
    records
      .flatMap((record) => [...record.files_created, ...record.files_modified])
      .flatMap((file) => (file.type === "symlink" ? [file.path] : [])),
  );
  const escaping: string[] = [];
  for (const path of changed.filter((one) => links.has(one))) {
    const { target } = await lease.sandbox.files.stat(path);
    if (target === null || isAbsolute(target) || normalize(join(dirname(path), target)).startsWith(".."))
      escaping.push(path);
  }
  return escaping;
}

/** The net effect of all calls on each path: the last word wins. */
function sumChanges(records: readonly ToolCallRecord[]): { changed: string[]; deleted: string[] } {
  const last = new Map<string, "changed" | "deleted">();
  const note = (changes: readonly FileChange[], kind: "changed" | "deleted"): void => {
    for (const change of changes) last.set(change.path, kind);
  };
  for (const record of records) {
    note(record.files_deleted, "deleted");
    note(record.files_created, "changed");
    note(record.files_modified, "changed");
  }
  const pick = (kind: "changed" | "deleted"): string[] =>
    [...last].filter(([, one]) => one === kind).map(([path]) => path);
  return { changed: pick("changed"), deleted: pick("deleted") };
}

/** Deleted paths that were package trees: their content is in no list. */
function listTrees(records: readonly ToolCallRecord[]): ReadonlySet<string> {
  const deleted = records.flatMap((record) => record.files_deleted);
  return new Set(deleted.flatMap(({ path, type }) => (type === "tree" ? [path] : [])));
}

function ignoreKept(error: unknown): void {
  const isKept =
    error instanceof PaddockError && (error.code === "not_found" || error.context["reason"] === "not_empty");
  if (!isKept) throw error;
}
