import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { identifyProcess, isAlive, type ProcessIdentity } from "./process-identity.ts";

const POLL_MS = 200;

/** A lock held by a living process, named by pid and start time; a dead holder's lock is taken over. */
export class LockFile implements Disposable {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** The lock, or the living process that holds it. A dead holder's lock is taken over. */
  static tryAcquire(path: string): LockFile | ProcessIdentity {
    for (;;) {
      if (tryCreate(path)) return new LockFile(path);
      const holder = readHolder(path);
      if (holder !== undefined && isAlive(holder)) return holder;
      discardStale(path, holder);
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

/** Appears at once with its content: written beside, then linked. */
function tryCreate(path: string): boolean {
  const draft = `${path}.${process.pid}.${performance.now()}`;
  writeFileSync(draft, JSON.stringify(identifyProcess(process.pid)), { mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function readHolder(path: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

/** Moves the stale lock aside; when that caught a newer lock instead, puts it back. */
function discardStale(path: string, stale: ProcessIdentity | undefined): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const caught = readHolder(aside);
  if (JSON.stringify(caught) !== JSON.stringify(stale)) {
    try {
      linkSync(aside, path);
    } catch {
      // Someone else took the lock meanwhile; the caught holder finds its file gone and only its successor waits.
    }
  }
  rmSync(aside, { force: true });
}
