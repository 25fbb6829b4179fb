import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { PaddockError } from "../errors/error.ts";
import { parseUntrustedJson } from "../lib/json.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "../lib/process-identity.ts";
import { isTaskId, type TaskId } from "../model/ids.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { TaskResult } from "../model/result.ts";

/** A task's terminal line: its result without what the call lines already say. */
export type TaskEnd = Omit<TaskResult, "tool_calls" | "values">;

export type TaskLine =
  | {
      readonly line: "intent";
      readonly task_id: TaskId;
      readonly time: string;
      readonly owner: ProcessIdentity;
      readonly task: unknown;
    }
  | { readonly line: "call"; readonly record: ToolCallRecord }
  | { readonly line: "end"; readonly result: TaskEnd }
  | { readonly line: "lost"; readonly task_id: TaskId; readonly time: string; readonly code: "task_lost" };

/**
 * One `tasks/<id>.jsonl` per task: a synced intent line before the sandbox exists, a line per closed call, one terminal line.
 * A process writes only its own tasks; a torn last line is what a crash left and is ignored.
 */
export class TaskStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Writes the intent and syncs it. Throws `no_space` when the disk is full. */
  open(taskId: TaskId, task: unknown): TaskJournal {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const owner = identifyProcess(process.pid);
    if (owner === undefined) throw new PaddockError("internal", "/proc does not show this process");
    const journal = new TaskJournal(join(this.#folder, `${taskId}.jsonl`));
    journal.append({ line: "intent", task_id: taskId, time: new Date().toISOString(), owner, task });
    return journal;
  }

  read(taskId: string): readonly TaskLine[] {
    const file = join(this.#folder, `${taskId}.jsonl`);
    if (!isTaskId(taskId) || !existsSync(file)) throw new PaddockError("not_found", `no task ${taskId}`);
    return parseLines(readFileSync(file, "utf8"));
  }

  list(): readonly string[] {
    if (!existsSync(this.#folder)) return [];
    return readdirSync(this.#folder)
      .filter((name) => name.endsWith(".jsonl"))
      .map((name) => name.slice(0, -".jsonl".length));
  }

  /** Closes every task whose owner died before its terminal line as `lost`. Returns their ids. */
  closeLost(): readonly string[] {
    return this.list().filter((id) => {
      const file = join(this.#folder, `${id}.jsonl`);
      const lines = parseLines(readFileSync(file, "utf8"));
      const intent = lines.find((line) => line.line === "intent");
      if (lines.some((line) => line.line === "end" || line.line === "lost")) return false;
      if (intent !== undefined && isAlive(intent.owner)) return false;
      const lost: TaskLine = { line: "lost", task_id: id as TaskId, time: new Date().toISOString(), code: "task_lost" };
      appendFileSync(file, `\n${JSON.stringify(lost)}\n`);
      return true;
    });
  }

  /** Removes ended tasks older than `maxAgeMs`, then the oldest until at most `maxBytes` are left. Returns how many went. */
  prune(maxAgeMs: number, maxBytes: number): number {
    const now = Date.now();
    const files = this.list()
      .map((id) => join(this.#folder, `${id}.jsonl`))
      .map((file) => ({ file, ...pick(statSync(file)) }))
      .filter(({ file }) =>
        parseLines(readFileSync(file, "utf8")).some((line) => line.line === "end" || line.line === "lost"),
      )
      .sort((a, b) => a.mtimeMs - b.mtimeMs);
    let total = files.reduce((sum, { size }) => sum + size, 0);
    const gone = files.filter(({ size, mtimeMs }) => {
      if (now - mtimeMs <= maxAgeMs && total <= maxBytes) return false;
      total -= size;
      return true;
    });
    for (const { file } of gone) rmSync(file, { force: true });
    return gone.length;
  }
}

/** The open journal of one task. */
export class TaskJournal {
  readonly #fd: number;

  constructor(file: string) {
    this.#fd = openSync(file, "wx", 0o600);
  }

  append(line: TaskLine): void {
    try {
      writeSync(this.#fd, `${JSON.stringify(line)}\n`);
      if (line.line !== "call") fsyncSync(this.#fd);
    } catch (cause) {
      throw new PaddockError("no_space", "the task's record could not be written", { cause });
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function pick(stats: { size: number; mtimeMs: number }): { size: number; mtimeMs: number } {
  return { size: stats.size, mtimeMs: stats.mtimeMs };
}

function parseLines(text: string): TaskLine[] {
  return text.split("\n").flatMap((line) => {
    if (line === "") return [];
    try {
      return [parseUntrustedJson(line) as TaskLine];
    } catch {
      return [];
    }
  });
}
