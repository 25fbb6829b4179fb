import { rm } from "node:fs/promises";

/** Removes a tree of ours whose sandbox has ended. Links are removed, never followed. */
export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}
