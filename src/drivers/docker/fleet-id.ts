import { randomBytes } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PaddockError } from "../../errors/error.ts";

/**
 * The id of a data folder, made once: it labels what we make in engines that others use too, and a path would not tell two machines apart.
 */
export async function readFleetId(root: string): Promise<string> {
  const path = join(root, "fleet-id");
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  const read = (): Promise<string | undefined> => readFile(path, "utf8").catch(() => undefined);
  if ((await read()) === undefined) {
    await writeFile(draft, randomBytes(16).toString("hex"), { mode: 0o600 });
    await link(draft, path).catch(() => undefined);
    await rm(draft);
  }
  const id = await read();
  if (id === undefined || !/^[0-9a-f]{32}$/.test(id)) {
    throw new PaddockError("driver_unavailable", `${path} does not hold the data folder's id`, {
      hint: "Remove it when no sandbox runs; containers labelled with the former id are then to be removed by hand.",
    });
  }
  return id;
}
