import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Home } from "../../../src/config/home.ts";
import type { WorkspaceSource } from "../../../src/drivers/driver.ts";
import { type Held, Holder, type WorkspaceStorage } from "../../../src/drivers/host/holder.ts";
import { makeSandboxId, type SandboxId } from "../../../src/model/ids.ts";
import { DEFAULT_LIMITS } from "../../../src/model/limits.ts";

const WORKSPACE_BYTES = 32 * 1024 * 1024;

export const openHolder = (home: Home): Promise<Holder> => Holder.open({ home, driver: "docker" });

/** A socket that listens where the fleet puts it. Nobody dials it here. */
export async function listenFor(home: Home, id: SandboxId): Promise<string> {
  const socketDir = join(home.run, id, "socket");
  mkdirSync(socketDir, { recursive: true });
  rmSync(join(socketDir, "host.sock"), { force: true });
  const server = createServer();
  server.listen(join(socketDir, "host.sock"));
  await once(server, "listening");
  server.unref();
  return socketDir;
}

export interface HoldChanges {
  readonly id?: SandboxId;
  readonly workspace?: WorkspaceSource;
  readonly storage?: WorkspaceStorage;
  readonly payload?: unknown;
}

/** Holds a sandbox; with `graceMs` one that may be adopted. */
export async function holdOne(
  holder: Holder,
  home: Home,
  socket: string | null,
  graceMs?: number,
  changes: HoldChanges = {},
): Promise<{ readonly id: SandboxId; readonly held: Held; readonly socketDir: string }> {
  const id = changes.id ?? makeSandboxId();
  const socketDir = await listenFor(home, id);
  const held = await holder.hold({
    id,
    socketDir,
    workspace: changes.workspace ?? { kind: "new" },
    storage: changes.storage ?? "loop",
    limits: { ...DEFAULT_LIMITS, workspaceBytes: WORKSPACE_BYTES },
    container: { name: `paddock-${id}`, socket },
    adoption: graceMs === undefined ? null : { graceMs, payload: changes.payload ?? { key: "00" } },
  });
  return { id, held, socketDir };
}
