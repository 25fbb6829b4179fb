import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "../../lib/if-there.ts";

/** A file name has at most 255 bytes; longer ones are cut and told apart by their hash. */
const MAX_NAME_BYTES = 200;
const PLAIN = /[A-Za-z0-9_.-]/;
const ENTRY = ".json";
const FOLDER = ".d";

/**
 * Where the entry of a key lies below the index: a folder for each segment but the last. Entries and folders have
 * different endings, so that `a` and `a/b` live side by side.
 */
export function entryPath(key: string): string {
  const segments = key.split("/").map(encodeSegment);
  const last = segments.pop() ?? "";
  return join(...segments.map((segment) => segment + FOLDER), last + ENTRY);
}

function encodeSegment(segment: string): string {
  const name = [...Buffer.from(segment)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return PLAIN.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
  if (name.length <= MAX_NAME_BYTES) return name;
  const hash = createHash("sha256").update(segment).digest("hex");
  return `${name.slice(0, MAX_NAME_BYTES - 70)}~${hash}`;
}

/** Paths of all entries whose key may begin with `prefix`: folders that cannot hold one are not opened. */
export async function* findEntries(root: string, prefix: string): AsyncGenerator<string> {
  const folders = prefix.split("/").slice(0, -1).map(encodeSegment);
  yield* walk(join(root, ...folders.map((name) => name + FOLDER)));
}

async function* walk(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.name.endsWith(ENTRY)) yield path;
  }
}
