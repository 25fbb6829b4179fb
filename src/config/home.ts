import { homedir } from "node:os";
import { join } from "node:path";

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
}

/** `PADDOCK_HOME`, else `/var/lib/paddock` as root, else `$XDG_DATA_HOME/paddock` (default `~/.local/share/paddock`). */
export function resolveHome(env: NodeJS.ProcessEnv, uid: number): Home {
  const root =
    env["PADDOCK_HOME"] ??
    (uid === 0 ? "/var/lib/paddock" : join(env["XDG_DATA_HOME"] ?? join(homedir(), ".local/share"), "paddock"));
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
  };
}
