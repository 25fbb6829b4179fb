import { homedir } from "node:os";
import { isAbsolute, join, normalize } from "node:path";
import { PaddockError } from "../errors/error.ts";

/**
 * A unix socket's path has at most 107 bytes (unix(7)); the longest below the root is `/run/<sandbox
 * id>/socket/host.sock`.
 */
const MAX_ROOT_BYTES = 107 - "/run/sbx_00000000000000000000000000/socket/host.sock".length;

/** The data folder and the rooms in it (docs/configuration.md). */
export interface Home {
  readonly root: string;
  readonly templates: string;
  readonly workspaces: string;
  readonly run: string;
  readonly owners: string;
  readonly uids: string;
  readonly tasks: string;
  readonly artifacts: string;
  readonly bin: string;
  /** The service's database. */
  readonly state: string;
}

/**
 * `PADDOCK_HOME`, else `/var/lib/paddock` as root, else `$XDG_DATA_HOME/paddock` (default `~/.local/share/paddock`).
 * Throws `invalid_config`.
 */
export function resolveHome(env: NodeJS.ProcessEnv, uid: number): Home {
  const root =
    env["PADDOCK_HOME"] ??
    (uid === 0 ? "/var/lib/paddock" : join(env["XDG_DATA_HOME"] ?? join(homedir(), ".local/share"), "paddock"));
  if (!isAbsolute(root))
    throw new PaddockError("invalid_config", `PADDOCK_HOME is ${root}; it has to be an absolute path`);
  if (/^\/(proc|sys|dev)(\/|$)/.test(normalize(root)))
    throw new PaddockError("invalid_config", `PADDOCK_HOME is ${root}, which keeps no files`);
  if (Buffer.byteLength(root) > MAX_ROOT_BYTES) {
    throw new PaddockError(
      "invalid_config",
      `PADDOCK_HOME has ${Buffer.byteLength(root)} bytes; sockets below it allow ${MAX_ROOT_BYTES}`,
      {
        hint: "Set PADDOCK_HOME to a shorter path.",
      },
    );
  }
  const room = (name: string): string => join(root, name);
  return {
    root,
    templates: room("templates"),
    workspaces: room("workspaces"),
    run: room("run"),
    owners: room("owners"),
    uids: room("uids"),
    tasks: room("tasks"),
    artifacts: room("artifacts"),
    bin: room("bin"),
    state: room("state"),
  };
}
