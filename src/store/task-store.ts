import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { PaddockError } from "../errors/error.ts";
import { parseUntrustedJson } from "../lib/json.ts";
import { makeOpenFolder } from "../lib/open-folder.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "../lib/process-identity.ts";
import { isTaskId, type TaskId } from "../model/ids.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { TaskResult } from "../model/result.ts";

const NEWLINE = 0x0a;
/** A terminal line is far shorter. */
const TAIL_BYTES = 1024 * 1024;
const MAX_INTENT_BYTES = 64 * 1024 * 1024;

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

/** Takes the lines of one task as they come; `call` and `end` lines after the intent. A line that cannot be kept ends the task with what it throws. */
export interface Journal {
  append(line: TaskLine): void | Promise<void>;
  close(): void;
}

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
    makeOpenFolder(dirname(this.#folder));
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
    return parseLines(readFileSync(file));
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
      if (hasEnded(file)) return false;
      const intent = readIntent(file);
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
      .filter(({ file }) => hasEnded(file))
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
export class TaskJournal implements Journal {
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

/** Looks at the end of the file only: what lies before it is as long as guests make it. */
function hasEnded(file: string): boolean {
  const size = statSync(file).size;
  const start = Math.max(0, size - TAIL_BYTES);
  const tail = readRange(file, start, size - start);
  const whole = start === 0 ? tail : tail.subarray(tail.indexOf(NEWLINE) + 1);
  return parseLines(whole).some((line) => line.line === "end" || line.line === "lost");
}

function readIntent(file: string): Extract<TaskLine, { line: "intent" }> | undefined {
  const head = readRange(file, 0, Math.min(statSync(file).size, MAX_INTENT_BYTES));
  const end = head.indexOf(NEWLINE);
  const [line] = parseLines(end < 0 ? head : head.subarray(0, end));
  return line?.line === "intent" ? line : undefined;
}

function readRange(file: string, start: number, length: number): Buffer {
  const fd = openSync(file, "r");
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, start));
  } finally {
    closeSync(fd);
  }
}

/** Line by line: a journal may be longer than the longest string. */
function parseLines(bytes: Buffer): TaskLine[] {
  const lines: TaskLine[] = [];
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(NEWLINE, start);
    const end = found < 0 ? bytes.length : found;
    if (end > start) lines.push(...parseLine(bytes.subarray(start, end)));
    start = end + 1;
  }
  return lines;
}

function parseLine(bytes: Buffer): TaskLine[] {
  try {
    return [parseUntrustedJson(bytes.toString("utf8")) as TaskLine];
  } catch {
    return [];
  }
}
