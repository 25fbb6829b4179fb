import { extname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The program itself, as sources or built. */
export function entryPoint(): string {
  const self = fileURLToPath(import.meta.url);
  return resolve(self, `../../main${extname(self)}`);
}
