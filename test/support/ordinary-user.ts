import { execFileSync } from "node:child_process";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));

/**
 * What a program of ours prints as JSON when an ordinary user runs it, with no other environment than a PATH. A clone
 * in a folder of root's, such as /root, is closed to other users: they get it at `folder`, an empty one that they can
 * reach, in a mount namespace of its own.
 */
export function runAsUser(uid: number, folder: string, program: string, ...args: readonly string[]): unknown {
  const move = (path: string): string =>
    path.startsWith(REPOSITORY) ? join(folder, relative(REPOSITORY, path)) : path;
  const mount = ["--mount", "sh", "-euc", 'mount --bind "$1" "$2"; shift 2; exec "$@"', "sh", REPOSITORY, folder];
  const identity = ["--reuid", String(uid), "--regid", String(uid), "--clear-groups"];
  const command = ["setpriv", ...identity, move(process.execPath), move(program), ...args];
  const env = { PATH: process.env["PATH"] };
  return JSON.parse(execFileSync("unshare", [...mount, ...command], { encoding: "utf8", env }));
}
