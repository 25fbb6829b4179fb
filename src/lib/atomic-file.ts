import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { codeOf } from "./if-there.ts";

export interface WriteOptions {
  /** The file outlives a crash of the machine. */
  readonly isDurable?: boolean;
}

/** Readers see the old file or the new one, whole. */
export function replaceFile(path: string, content: string, options: WriteOptions = {}): void {
  renameSync(writeDraft(path, content, options), path);
  if (options.isDurable) syncFolder(dirname(path));
}

/** The file appears whole. False when there is one already. */
export function createFile(path: string, content: string, options: WriteOptions = {}): boolean {
  const draft = writeDraft(path, content, options);
  try {
    linkSync(draft, path);
    if (options.isDurable) syncFolder(dirname(path));
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function writeDraft(path: string, content: string, { isDurable = false }: WriteOptions): string {
  const draft = `${path}.${process.pid}.${performance.now()}`;
  writeFileSync(draft, content, { mode: 0o600, flush: isDurable });
  return draft;
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
