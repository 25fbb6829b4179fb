import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import { parseUntrustedJson } from "../../lib/json.ts";
import type { VolumeId } from "../../model/ids.ts";
import type { WorkspaceMode } from "../../model/isolation.ts";
import type { SandboxSpec, WorkspaceSource } from "../driver.ts";
import type { Identity, WorkspacePlan } from "./launch.ts";
import type { HostStorage } from "./storage.ts";

/** The part of a spec that decides about the workspace. */
type WorkspaceSpec = Pick<SandboxSpec, "id" | "workspace" | "limits">;

export interface ResolvedWorkspace {
  readonly mode: WorkspaceMode;
  readonly plan: WorkspacePlan;
  /** Null takes a uid from the pool, or keeps our own. */
  readonly identity: Identity | null;
  /** The sandbox runs under a uid that nothing else on this machine runs under. */
  readonly hasOwnUid: boolean;
}

const NO_WORKSPACE: WorkspacePlan = {
  folder: null,
  blank: null,
  image: null,
  source: null,
  readOnly: false,
  lock: null,
  volume: null,
};

const isRoot = ({ own }: HostStorage): boolean => own.uid === 0;

async function resolveNew(spec: WorkspaceSpec, storage: HostStorage): Promise<ResolvedWorkspace> {
  const folder = join(storage.home.workspaces, spec.id);
  if (storage.kind === "folder") {
    const source = join(folder, "tree");
    const plan = { ...NO_WORKSPACE, folder, source };
    return { mode: "polled", plan, identity: null, hasOwnUid: isRoot(storage) };
  }
  const blank = await storage.blanks.get(spec.limits.workspaceBytes);
  const source = join(folder, "mount");
  const plan = { ...NO_WORKSPACE, folder, blank, source, image: join(folder, "image.ext4") };
  return { mode: "image", plan, identity: null, hasOwnUid: isRoot(storage) };
}

function resolveFolder(
  storage: HostStorage,
  workspace: Extract<WorkspaceSource, { kind: "folder" }>,
): ResolvedWorkspace {
  const { path, uid, gid, readOnly } = workspace;
  if (isRoot(storage) && (uid === 0 || gid === 0) && workspace.porter !== true) {
    throw new PaddockError(
      "create_failed",
      `guest code never runs as root, so ${path} cannot be its workspace as it is`,
    );
  }
  if (!isRoot(storage) && uid !== storage.own.uid) {
    throw new PaddockError("create_failed", `only root can run a sandbox as uid ${uid}`);
  }
  const plan = { ...NO_WORKSPACE, source: path, readOnly };
  return { mode: "polled", plan, identity: isRoot(storage) ? { uid, gid } : null, hasOwnUid: false };
}

/** What the launcher wrote beside a workspace that outlives its sandbox; the file is out of every guest's reach. */
interface Owner extends Identity {
  readonly mode: "image" | "folder";
  /** Present in an ended workspace. */
  readonly ended: unknown;
}

async function readOwner(folder: string): Promise<Owner | undefined> {
  const owner = await readFile(join(folder, "owner.json"), "utf8")
    .then((text) => parseUntrustedJson(text) as Readonly<Record<string, unknown>> | null)
    .catch(() => null);
  const { uid, gid, mode, ended } = owner ?? {};
  if (typeof uid !== "number" || typeof gid !== "number") return undefined;
  return { uid, gid, mode: mode === "image" ? "image" : "folder", ended };
}

/** `lock` is the file that says whether it is in use. */
function useOwned(
  storage: HostStorage,
  folder: string,
  { uid, gid, mode }: Owner,
  how: { readonly readOnly: boolean; readonly lock: string; readonly volume: VolumeId | null },
): ResolvedWorkspace {
  const isImage = mode === "image";
  const source = join(folder, isImage ? "mount" : "tree");
  return {
    mode: isImage ? "image" : "polled",
    plan: { ...NO_WORKSPACE, ...how, source, image: isImage ? join(folder, "image.ext4") : null },
    identity: isRoot(storage) ? { uid, gid } : null,
    // Readers share the uid with each other; a volume's writer has it for itself.
    hasOwnUid: isRoot(storage) && how.volume !== null && !how.readOnly,
  };
}

async function resolveEnded(
  storage: HostStorage,
  { sandboxId, writable }: Extract<WorkspaceSource, { kind: "ended" }>,
): Promise<ResolvedWorkspace> {
  const folder = join(storage.home.workspaces, sandboxId);
  const owner = await readOwner(folder);
  if (typeof owner?.ended !== "number") {
    throw new PaddockError("not_found", `sandbox ${sandboxId} has left no workspace`);
  }
  const lock = join(folder, "owner.json");
  return useOwned(storage, folder, owner, { readOnly: writable !== true, lock, volume: null });
}

async function resolveVolume(
  storage: HostStorage,
  { volumeId, readOnly }: Extract<WorkspaceSource, { kind: "volume" }>,
): Promise<ResolvedWorkspace> {
  const folder = join(storage.home.workspaces, volumeId);
  const owner = await readOwner(folder);
  if (owner === undefined) throw new PaddockError("not_found", `there is no volume ${volumeId}`);
  if (!isRoot(storage) && owner.uid !== storage.own.uid) {
    throw new PaddockError("create_failed", `only root can use volume ${volumeId}, which uid ${owner.uid} owns`);
  }
  return useOwned(storage, folder, owner, { readOnly, lock: join(storage.home.owners, volumeId), volume: volumeId });
}

export async function resolveWorkspace(spec: WorkspaceSpec, storage: HostStorage): Promise<ResolvedWorkspace> {
  const { workspace } = spec;
  switch (workspace.kind) {
    case "new":
      return resolveNew(spec, storage);
    case "memory":
      return { mode: "memory", plan: NO_WORKSPACE, identity: null, hasOwnUid: isRoot(storage) };
    case "folder":
      return resolveFolder(storage, workspace);
    case "ended":
      return resolveEnded(storage, workspace);
    case "volume":
      return resolveVolume(storage, workspace);
  }
}
