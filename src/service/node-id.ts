import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PaddockError } from "../errors/error.ts";
import { createFile } from "../lib/atomic-file.ts";
import { ifThere } from "../lib/if-there.ts";

const SHAPE = /^node_[0-9a-f-]{36}$/;

/**
 * Names a data folder for as long as it exists: its agents are found by it, on a shared database, too. Throws
 * `invalid_config` for a broken file.
 */
export function readNodeId(folder: string): string {
  const path = join(folder, "node-id");
  const read = (): string | undefined => ifThere(() => readFileSync(path, "utf8").trim());
  if (read() === undefined) createFile(path, `node_${randomUUID()}\n`, { isDurable: true });
  const known = read();
  if (known !== undefined && SHAPE.test(known)) return known;
  throw new PaddockError("invalid_config", `${path} does not hold the data folder's id`, {
    hint: "Restore the file from a backup. With a new id the agents of this folder would be nobody's.",
  });
}
