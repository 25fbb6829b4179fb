import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import { parseUntrustedJson } from "../../lib/json.ts";
import type { SandboxId } from "../../model/ids.ts";
import type { WorkspaceMode } from "../../model/isolation.ts";
import type { SandboxSpec, WorkspaceSource } from "../driver.ts";
import type { Identity, WorkspacePlan } from "./launch.ts";
import type { Volumes } from "./volumes.ts";

/** The part of a spec that decides about the workspace. */
type WorkspaceSpec = Pick<SandboxSpec, "id" | "workspace" | "limits">;

export interface ResolvedWorkspace {
  readonly mode: WorkspaceMode;
  readonly plan: WorkspacePlan;
  /** Null takes a uid from the pool, or keeps our own. */
  readonly identity: Identity | null;
}

const NO_WORKSPACE: WorkspacePlan = {
  folder: null,
  blank: null,
  image: null,
  source: null,
  readOnly: false,
  lock: null,
};

async function resolveNew(spec: WorkspaceSpec, volumes: Volumes): Promise<ResolvedWorkspace> {
  const folder = join(volumes.home.workspaces, spec.id);
  if (volumes.kind === "folder") {
    const source = join(folder, "tree");
    const plan = { ...NO_WORKSPACE, folder, source };
    return { mode: "polled", plan, identity: null };
  }
  const blank = await volumes.blanks.get(spec.limits.workspaceBytes);
  const source = join(folder, "mount");
  const plan = { ...NO_WORKSPACE, folder, blank, source, image: join(folder, "image.ext4") };
  return { mode: "image", plan, identity: null };
}

function resolveFolder(volumes: Volumes, workspace: Extract<WorkspaceSource, { kind: "folder" }>): ResolvedWorkspace {
  const { path, uid, gid, readOnly } = workspace;
  const isRoot = volumes.own.uid === 0;
  if (isRoot && (uid === 0 || gid === 0) && workspace.porter !== true) {
    throw new PaddockError(
      "create_failed",
      `guest code never runs as root, so ${path} cannot be its workspace as it is`,
    );
  }
  if (!isRoot && uid !== volumes.own.uid) {
    throw new PaddockError("create_failed", `only root can run a sandbox as uid ${uid}`);
  }
  const plan = { ...NO_WORKSPACE, source: path, readOnly };
  return { mode: "polled", plan, identity: isRoot ? { uid, gid } : null };
}

interface EndedOwner extends Identity {
  readonly mode: "image" | "folder";
}

/** Reads what the launcher wrote beside an ended workspace; the file is out of every guest's reach. */
async function readEndedOwner(folder: string, id: SandboxId): Promise<EndedOwner> {
  const text = await readFile(join(folder, "owner.json"), "utf8").catch(() => undefined);
  const owner = text === undefined ? undefined : (parseUntrustedJson(text) as Readonly<Record<string, unknown>>);
  const { uid, gid, mode, ended } = owner ?? {};
  if (typeof uid !== "number" || typeof gid !== "number" || typeof ended !== "number") {
    throw new PaddockError("not_found", `sandbox ${id} has left no workspace`);
  }
  return { uid, gid, mode: mode === "image" ? "image" : "folder" };
}

async function resolveEnded(
  volumes: Volumes,
  { sandboxId, writable }: Extract<WorkspaceSource, { kind: "ended" }>,
): Promise<ResolvedWorkspace> {
  const folder = join(volumes.home.workspaces, sandboxId);
  const { uid, gid, mode } = await readEndedOwner(folder, sandboxId);
  const source = join(folder, mode === "image" ? "mount" : "tree");
  const readOnly = writable !== true;
  const image = mode === "image" ? join(folder, "image.ext4") : null;
  return {
    mode: mode === "image" ? "image" : "polled",
    plan: { ...NO_WORKSPACE, source, image, readOnly, lock: join(folder, "owner.json") },
    identity: volumes.own.uid === 0 ? { uid, gid } : null,
  };
}

export async function resolveWorkspace(spec: WorkspaceSpec, volumes: Volumes): Promise<ResolvedWorkspace> {
  const { workspace } = spec;
  switch (workspace.kind) {
    case "new":
      return resolveNew(spec, volumes);
    case "memory":
      return { mode: "memory", plan: NO_WORKSPACE, identity: null };
    case "folder":
      return resolveFolder(volumes, workspace);
    case "ended":
      return resolveEnded(volumes, workspace);
  }
}
