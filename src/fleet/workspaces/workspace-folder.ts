import { realpathSync, statSync } from "node:fs";
import { PaddockError } from "../../errors/error.ts";
import type { FileChange, ToolCallRecord } from "../../model/record.ts";
import type { Fleet, Lease } from "../fleet.ts";
import { readAskedPath } from "./asked-path.ts";
import { EXEC_CONFIG, isExecConfig } from "./exec-config.ts";
import { pipeTree } from "./pipe-tree.ts";

export interface CopyBack {
  readonly written: readonly string[];
  readonly deleted: readonly string[];
  /** Left out: what the user's tools could execute or obey unasked, unless it was asked for by name. */
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

  /**
   * Brings back what the records of the task list as changed. What tools execute unasked (docs/workspace.md) comes only
   * where `asked` names it or a folder above it; `.` names all. Links that leave the folder never come.
   */
  async copyBack(
    lease: Lease,
    records: readonly ToolCallRecord[],
    asked: readonly string[],
    signal: AbortSignal,
  ): Promise<CopyBack> {
    if (records.some((record) => record.files_unknown || record.files_more > 0)) {
      throw new PaddockError("file_error", "the changes of the task are not fully known, so nothing was copied back", {
        hint: "Fetch files one by one, or run with fewer changed files per call (docs/workspace.md).",
      });
    }
    const { changed, deleted } = sumChanges(records);
    const allow = asked.map(readAskedPath);
    const suspects = listOpaque(records);
    const isWithheld = (path: string): boolean =>
      (suspects.has(path) || isExecConfig(path)) && !allow.some((one) => liesIn(path, one));
    const withheld = [...changed, ...deleted].filter(isWithheld);
    const written = changed.filter((path) => !isWithheld(path));
    const removed = deleted.filter((path) => !isWithheld(path));
    if (written.length === 0 && removed.length === 0) return { written, deleted: removed, withheld };
    await using porter = await this.#fleet.openPorter(this.#path, this.#owner, false, signal);
    const trees = listTrees(records);
    // Deepest first, and a folder only when it is empty: it may hold what is withheld, or what came after the copy.
    for (const path of removed.toSorted((a, b) => (a < b ? 1 : -1)))
      await porter.sandbox.files.remove(path, { recursive: trees.has(path) }).catch(ignoreKept);
    if (written.length === 0) return { written, deleted: removed, withheld };
    // A path that is listed stands for everything below it, so each entry is judged once more where it is unpacked.
    const unpacked = await pipeTree(lease.sandbox.files, porter.sandbox.files, written, {
      withhold: EXEC_CONFIG,
      allow,
    });
    withheld.push(...unpacked.withheld);
    if (unpacked.withheldMore > 0) withheld.push(`(${unpacked.withheldMore} more)`);
    return {
      written: written.filter((path) => !withheld.includes(path)),
      deleted: removed,
      withheld: [...new Set(withheld)],
    };
  }
}

function liesIn(path: string, folder: string): boolean {
  return folder === "." || path === folder || path.startsWith(`${folder}/`);
}

/** Paths that are links now, or package trees then or now: what they lead to or hold is in no list. */
function listOpaque(records: readonly ToolCallRecord[]): ReadonlySet<string> {
  const changes = records.flatMap((record) => [...record.files_created, ...record.files_modified]);
  const links = changes.filter(({ type }) => type === "symlink" || type === "tree");
  return new Set([...links.map(({ path }) => path), ...listTrees(records)]);
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
