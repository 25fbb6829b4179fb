import { randomBytes } from "node:crypto";
import { link, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PaddockError } from "../../errors/error.ts";

/** `<id> <inode of this very file>`: in a copy of the data folder the two disagree. An id alone is taken as it is. */
const FORM = /^([0-9a-f]{32})(?: ([0-9]+))?$/;

async function writeDraft(path: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(`${randomBytes(16).toString("hex")} ${(await file.stat()).ino}`);
  } finally {
    await file.close();
  }
}

/**
 * The id of a data folder, made once: it labels what we make in engines that others use too, and a path would not tell
 * two machines apart. A copied folder gets an id of its own, or it would remove the original's containers.
 */
export async function readFleetId(root: string): Promise<string> {
  const path = join(root, "fleet-id");
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  const read = (): Promise<string | undefined> => readFile(path, "utf8").catch(() => undefined);
  const before = FORM.exec((await read()) ?? "");
  const isCopy = before?.[2] !== undefined && (await stat(path)).ino !== Number(before[2]);
  if (isCopy || (await read()) === undefined) {
    await writeDraft(draft);
    await (isCopy ? rename(draft, path) : link(draft, path)).catch(() => undefined);
    await rm(draft, { force: true });
  }
  const id = FORM.exec((await read()) ?? "")?.[1];
  if (id === undefined) {
    throw new PaddockError("driver_unavailable", `${path} does not hold the data folder's id`, {
      hint: "Remove it when no sandbox runs; containers labelled with the former id are then to be removed by hand.",
    });
  }
  return id;
}
