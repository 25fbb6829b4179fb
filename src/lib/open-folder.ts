import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

/** Every user may pass, only the owner may list. */
const OPEN = 0o711;

/**
 * Makes a folder and those above it, passable for the uids of sandboxes whatever the umask is (it cuts the mode that
 * `mkdir` is given). Folders that exist keep their mode.
 */
export function makeOpenFolder(path: string): void {
  const first = mkdirSync(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) chmodSync(made, OPEN);
}
