import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PaddockError } from "../errors/error.ts";

const SHAPE = /^node_[0-9a-f-]{36}$/;

/** Names a data folder for as long as it exists: its agents are found by it, on a shared database, too. Throws `invalid_config` for a broken file. */
export function readNodeId(folder: string): string {
  const path = join(folder, "node-id");
  const known = read(path) ?? make(path);
  if (SHAPE.test(known)) return known;
  throw new PaddockError("invalid_config", `${path} does not hold the data folder's id`, {
    hint: "Restore the file from a backup. With a new id the agents of this folder would be nobody's.",
  });
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Appears with its content or not at all. */
function make(path: string): string {
  const draft = `${path}.${process.pid}`;
  const id = `node_${randomUUID()}`;
  writeFileSync(draft, `${id}\n`, { mode: 0o600, flush: true });
  try {
    linkSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
  return id;
}
