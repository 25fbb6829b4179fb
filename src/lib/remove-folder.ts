import { lstat, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { isMissing } from "./if-there.ts";

const ATTEMPTS = 50;
const RETRY_MS = 10;

/**
 * Removes a folder of ours and returns when it is gone, also while other processes remove it or what is in it: `rmSync`
 * takes an entry that vanishes under it for the end of its work. Links are removed, never followed. Throws what still
 * hinders it after half a second.
 */
export async function removeFolder(path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const problem = await tryRemove(path);
    if (problem === undefined) return;
    if (attempt === ATTEMPTS) throw problem;
    await sleep(RETRY_MS);
  }
}

async function tryRemove(path: string): Promise<Error | undefined> {
  try {
    await rm(path, { recursive: true, force: true });
    await lstat(path);
    return new Error(`${path} is still there`);
  } catch (error) {
    return isMissing(error) ? undefined : (error as Error);
  }
}
