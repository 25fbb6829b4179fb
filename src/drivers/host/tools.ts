import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** A Node binary and the folder of an npm package, shown to sandboxes at /opt/paddock/node. */
export interface NodeTools {
  readonly binary: string;
  readonly npm: string;
}

export const LAUNCHER_SOURCE = fileURLToPath(new URL("../../../images/launcher", import.meta.url));
export const SUPERVISOR_SOURCE = fileURLToPath(new URL("../../../images/supervisor", import.meta.url));

/** The Node that runs us, and the npm that came with Paddock. */
export function findNodeTools(): NodeTools {
  return { binary: process.execPath, npm: dirname(fileURLToPath(import.meta.resolve("npm/package.json"))) };
}
