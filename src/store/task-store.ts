import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  linkSync,
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
import { ifThere } from "../lib/if-there.ts";
import { parseUntrustedJson } from "../lib/json.ts";
import { makeOpenFolder } from "../lib/open-folder.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "../lib/process-identity.ts";
import { isTaskId, type TaskId } from "../model/ids.ts";
import type { ToolCallRecord } from "../model/record.ts";
import type { TaskResult } from "../model/result.ts";

const ENDING = ".jsonl";
/** Of a task whose intent is being written. */
const DRAFT_ENDING = ".draft";
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

/**
 * One `tasks/<id>.jsonl` per task: a synced intent line before the sandbox exists, a line per closed call, one terminal
 * line. A process writes only its own tasks; a torn last line is what a crash left and is ignored. Another start may
 * prune an ended task at any moment.
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
    const time = new Date().toISOString();
    return TaskJournal.begin(this.#fileOf(taskId), { line: "intent", task_id: taskId, time, owner, task });
  }

  read(taskId: string): readonly TaskLine[] {
    const bytes = isTaskId(taskId) ? ifThere(() => readFileSync(this.#fileOf(taskId))) : undefined;
    if (bytes === undefined) throw new PaddockError("not_found", `no task ${taskId}`);
    return parseLines(bytes);
  }

  list(): readonly string[] {
    return this.#names(ENDING).map((name) => name.slice(0, -ENDING.length));
  }

  /** Closes every task whose owner died before its terminal line as `lost`. Returns their ids. */
  closeLost(): readonly string[] {
    return this.list().filter((id) => ifThere(() => this.#closeOne(id as TaskId)));
  }

  /**
   * Removes ended tasks older than `maxAgeMs`, then the oldest until at most `maxBytes` are left. Returns how many
   * went.
   */
  prune(maxAgeMs: number, maxBytes: number): number {
    const oldest = Date.now() - maxAgeMs;
    const files = this.#files(ENDING)
      .filter(({ file }) => ifThere(() => hasEnded(file)))
      .sort((a, b) => a.mtimeMs - b.mtimeMs);
    let total = files.reduce((sum, { size }) => sum + size, 0);
    const gone = files.filter(({ size, mtimeMs }) => {
      if (mtimeMs >= oldest && total <= maxBytes) return false;
      total -= size;
      return true;
    });
    const torn = this.#files(DRAFT_ENDING).filter(({ mtimeMs }) => mtimeMs < oldest);
    for (const { file } of [...gone, ...torn]) rmSync(file, { force: true });
    return gone.length;
  }

  /**
   * False when it runs or has ended. Its end is looked for once its owner is known to be dead, for until then the owner
   * may write it.
   */
  #closeOne(id: TaskId): boolean {
    const file = this.#fileOf(id);
    if (hasEnded(file)) return false;
    const intent = readIntent(file);
    if ((intent !== undefined && isAlive(intent.owner)) || hasEnded(file)) return false;
    const lost: TaskLine = { line: "lost", task_id: id, time: new Date().toISOString(), code: "task_lost" };
    const fd = openSync(file, constants.O_WRONLY | constants.O_APPEND);
    try {
      writeWhole(fd, Buffer.from(`\n${JSON.stringify(lost)}\n`), null);
    } finally {
      closeSync(fd);
    }
    return true;
  }

  #files(ending: string): { readonly file: string; readonly size: number; readonly mtimeMs: number }[] {
    return this.#names(ending).flatMap((name) => {
      const file = join(this.#folder, name);
      const stats = statSync(file, { throwIfNoEntry: false });
      return stats === undefined ? [] : [{ file, size: stats.size, mtimeMs: stats.mtimeMs }];
    });
  }

  #names(ending: string): string[] {
    return (ifThere(() => readdirSync(this.#folder)) ?? []).filter((name) => name.endsWith(ending));
  }

  #fileOf(taskId: string): string {
    return join(this.#folder, `${taskId}${ENDING}`);
  }
}

/** The open journal of one task. */
export class TaskJournal {
  readonly #fd: number;
  /** Of the lines that are kept. */
  #size = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** The file appears with its intent: to another start one without would be a dead owner's. */
  static begin(file: string, intent: TaskLine): TaskJournal {
    const draft = file.slice(0, -ENDING.length) + DRAFT_ENDING;
    const journal = new TaskJournal(openSync(draft, "wx", 0o600));
    try {
      journal.append(intent);
      linkSync(draft, file);
      return journal;
    } catch (error) {
      journal.close();
      throw error;
    } finally {
      rmSync(draft, { force: true });
    }
  }

  /** Whole, or not at all: the next line must not follow on a torn one. */
  append(line: TaskLine): void {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    try {
      writeWhole(this.#fd, bytes, this.#size);
      if (line.line !== "call") fsyncSync(this.#fd);
      this.#size += bytes.length;
    } catch (cause) {
      ftruncateSync(this.#fd, this.#size);
      throw new PaddockError("no_space", "the task's record could not be written", { cause });
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** A full disk takes what it has room for before it refuses the rest. `position` null: at the end. */
function writeWhole(fd: number, bytes: Buffer, position: number | null): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(fd, bytes, done, bytes.length - done, position === null ? null : position + done);
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
