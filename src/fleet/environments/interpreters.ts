import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Home } from "../../config/home.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { PYTHON } from "../../model/guest-paths.ts";
import type { Interpreter } from "../../setup/plan-hash.ts";

const run = promisify(execFile);

interface Cached extends Interpreter {
  readonly stamp: string;
}

/**
 * Path, version and sha256 of the system's Python and of our Node; remembered by inode, size and time in the data
 * folder.
 */
export async function describeInterpreters(home: Home): Promise<readonly Interpreter[]> {
  const file = join(home.bin, "interpreters.json");
  const known = readKnown(file);
  const described = await Promise.all([
    describe(PYTHON, known, async (path) =>
      (await run(path, ["-I", "-c", "import sys; print(sys.version)"])).stdout.trim(),
    ),
    describe(process.execPath, known, async () => process.version),
  ]);
  if (described.some((one) => !known.some((old) => old.stamp === one.stamp))) {
    makeOpenFolder(home.bin);
    writeFileSync(file, JSON.stringify(described), { mode: 0o600 });
  }
  return described.map(({ path, version, sha256 }) => ({ path, version, sha256 }));
}

async function describe(
  path: string,
  known: readonly Cached[],
  version: (path: string) => Promise<string>,
): Promise<Cached> {
  const target = realpathSync(path);
  const { ino, size, mtimeMs, ctimeMs } = statSync(target);
  const stamp = `${target}:${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  const cached = known.find((one) => one.stamp === stamp);
  if (cached !== undefined) return cached;
  const sha256 = createHash("sha256")
    .update(await readFile(target))
    .digest("hex");
  // The path of our own Node is where the host keeps it; sandboxes see it at a fixed place.
  return { path: path === process.execPath ? "node" : path, version: await version(target), sha256, stamp };
}

function readKnown(file: string): readonly Cached[] {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Cached[];
  } catch {
    return [];
  }
}
