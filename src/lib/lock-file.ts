import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createFile } from "./atomic-file.ts";
import { ifThere } from "./if-there.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "./process-identity.ts";

const POLL_MS = 200;

/**
 * A lock held by a living process, named by pid and start time; a dead holder's lock is taken over.
 *
 * Whoever takes over from a dead holder makes the file of that holder's successor first, which only one can. The lock
 * is its own if the way from the lock file over dead holders' successors leads to it; then its file takes the lock
 * file's place, by a rename. No two get there: only who holds the lock changes the lock file (makes it where none is,
 * replaces it as the last successor, removes it), and a dead holder never comes back to it. So the way to a successor
 * that was made too late is broken for good, and it goes again.
 */
export class LockFile implements Disposable {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** The lock, or the living process that holds it. A dead holder's lock is taken over. */
  static tryAcquire(path: string): LockFile | ProcessIdentity {
    for (;;) {
      if (tryCreate(path)) return new LockFile(path);
      const last = findLast(path);
      // It was let go meanwhile.
      if (last === undefined) continue;
      if (last.living !== undefined) return last.living;
      if (succeed(path, last.successor)) return new LockFile(path);
    }
  }

  /** Waits for the lock until `signal` aborts. `onWait` is called once when another process holds it. */
  static async acquire(
    path: string,
    signal: AbortSignal,
    onWait: (holder: ProcessIdentity) => void,
  ): Promise<LockFile> {
    let told = false;
    for (;;) {
      signal.throwIfAborted();
      const taken = LockFile.tryAcquire(path);
      if (taken instanceof LockFile) return taken;
      if (!told) onWait(taken);
      told = true;
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { force: true });
  }
}

const tryCreate = (path: string): boolean => createFile(path, JSON.stringify(identifyProcess(process.pid)));

/** The end of the way from a lock file over dead holders' successors. */
interface Last {
  readonly files: readonly string[];
  /** Who holds the lock, if that lives. */
  readonly living: ProcessIdentity | undefined;
  /** Where the file of its successor would be. */
  readonly successor: string;
}

/** Undefined when there is no lock file. */
function findLast(path: string): Last | undefined {
  let last: Last | undefined;
  for (let file = path; last?.living === undefined; file = last.successor) {
    const text = ifThere(() => readFileSync(file, "utf8"));
    if (text === undefined) return last;
    const successor = `${path}.after.${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;
    last = { files: [...(last?.files ?? []), file], living: findLiving(text), successor };
  }
  return last;
}

/** False when somebody else was first. */
function succeed(path: string, mine: string): boolean {
  if (!tryCreate(mine)) return false;
  const files = findLast(path)?.files ?? [];
  if (files.at(-1) !== mine) {
    rmSync(mine, { force: true });
    return false;
  }
  renameSync(mine, path);
  for (const file of files.slice(1, -1)) rmSync(file, { force: true });
  return true;
}

/** What cannot be read names nobody. */
function findLiving(text: string): ProcessIdentity | undefined {
  try {
    const holder = JSON.parse(text) as ProcessIdentity;
    return isAlive(holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}
