import { PaddockError } from "../errors/error.ts";
import type { Owe } from "../lib/owe.ts";
import type { SandboxId, VolumeId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { NodeType } from "../model/node-type.ts";
import type { SandboxHost } from "../sandbox/host.ts";

export type { SandboxEnd, SandboxHost as DriverSandbox, UsageSample } from "../sandbox/host.ts";

/** Where a sandbox's workspace lives on the host. Platform code decides; no field of it comes from a task. */
export type WorkspaceSource =
  /**
   * A new fixed-size volume of `limits.workspaceBytes`, in the strongest mode the host offers (image, else polled
   * folder).
   */
  | { readonly kind: "new" }
  /** A new sized tmpfs; counts as memory. */
  | { readonly kind: "memory" }
  /**
   * A host folder bound as the workspace, under the given host uid and gid (porters, template builds). Only a porter,
   * which runs no guest code, may have uid or gid 0.
   */
  | {
      readonly kind: "folder";
      readonly path: string;
      readonly uid: number;
      readonly gid: number;
      readonly readOnly: boolean;
      readonly porter?: boolean;
    }
  /**
   * The ended workspace of another sandbox of this data folder (porters), under the uid it had. Read-only unless
   * `writable`.
   */
  | { readonly kind: "ended"; readonly sandboxId: SandboxId; readonly writable?: boolean }
  /**
   * A volume of this data folder (`Driver.volumes`), under the uid it keeps. Writable by one sandbox at a time;
   * `readOnly` ones may share it with each other. A volume in use refuses with `capacity` after 2 s
   * (`isWorkspaceInUse`).
   */
  | { readonly kind: "volume"; readonly volumeId: VolumeId; readonly readOnly: boolean };

/**
 * Step in the context of a `capacity` that says: another sandbox uses the workspace
 * (images/launcher/workspaces/workspace_locks.py).
 */
const IN_USE_STEP = "workspace in use";

/** Whether time helps and room does not: the workspace is free when the sandbox that has it is gone. */
export function isWorkspaceInUse(error: unknown): boolean {
  return error instanceof PaddockError && error.context["step"] === IN_USE_STEP;
}

/**
 * A host folder shown inside. The source is never writable by a guest on the host side except where `writable` says so.
 */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly writable: boolean;
}

/** Everything a driver needs to make one sandbox. */
export interface SandboxSpec {
  readonly id: SandboxId;
  /** Path of the workspace inside. */
  readonly workspacePath: string;
  readonly workspace: WorkspaceSource;
  readonly limits: Limits;
  readonly mounts: readonly Mount[];
  /** For labels and records. */
  readonly nodeType?: NodeType;
  /** Content hash of the mounted template, for the record. */
  readonly templateHash?: string;
  /**
   * Immutable id of the node's image (`sha256:...`), from `images`; absent means the base. Only drivers that have
   * `images`.
   */
  readonly image?: string;
  /**
   * Lets another process take the sandbox over when its owner dies. Only drivers that declare `survivesOwner`; others
   * refuse.
   */
  readonly adoption?: Adoption;
  /**
   * Host folder that holds `host.sock`, already listening; the driver mounts it read-only at /run/paddock and gives the
   * socket to the sandbox's uid.
   */
  readonly socketDir: string;
  /** Channel key, 32 hex digits; goes to the supervisor on descriptor 0 and nowhere else. */
  readonly key: string;
}

/** What a sandbox that may outlive its owner leaves for the next one. */
export interface Adoption {
  /** How long the sandbox waits without an owner before it is reaped. */
  readonly graceMs: number;
  /** An orphan is reaped this long after it was made, whatever is left of its grace. Default: only grace decides. */
  readonly lifetimeMs?: number;
  /** Opaque to the driver: what the fleet needs to lease the sandbox again. Kept in the owner file, mode 0600. */
  readonly state: unknown;
}

/** A sandbox whose owner died, taken over. `socketDir` is the folder it still dials; the key is unchanged. */
export interface AdoptedSandbox {
  readonly host: SandboxHost;
  readonly socketDir: string;
  /** Whom the socket must belong to, so that the supervisor may dial it. */
  readonly socketOwner: { readonly uid: number; readonly gid: number };
  readonly key: string;
  readonly state: unknown;
}

/** `base` has supervisor, interpreters and no packages; the others add what their setup plan says. */
export type ImageName = NodeType | "base";

export interface ImageFacts {
  readonly name: ImageName;
  /** Immutable: `sha256:<64 hex>`. */
  readonly id: string;
  readonly bytes: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface ImageBuild {
  readonly name: ImageName;
  /** Tar stream with `Dockerfile` at its root. */
  readonly context: NodeJS.ReadableStream;
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Run every step again, whatever the engine has cached. */
  readonly noCache: boolean;
  /** One line of the engine's build output. */
  readonly onProgress: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The engine's store of node images. */
export interface ImageEngine {
  /** Undefined where the engine has no image of that id or reference. */
  inspect(reference: string): Promise<ImageFacts | undefined>;
  /**
   * Builds and tags `paddock/<name>:latest`. Throws `image_failed` with the last lines of output, `engine_unavailable`,
   * `no_space`.
   */
  build(build: ImageBuild): Promise<ImageFacts>;
  /** Makes an image of one layer from a root file system as tar. Returns its id. */
  importRoot(tar: NodeJS.ReadableStream, reference: string, signal: AbortSignal): Promise<string>;
  /** Images of ours by label, newest first. */
  list(): Promise<readonly ImageFacts[]>;
  remove(id: string): Promise<void>;
}

/**
 * Workspaces that outlive their sandboxes, in the data folder's `workspaces/<volume id>`. Nothing but `remove` removes
 * them.
 */
export interface Volumes {
  /**
   * Makes an empty volume in the strongest mode the host offers, with a uid of its own that nobody else gets while it
   * exists. Idempotent: a whole volume of this id is left as it is, half of one is made anew. Throws `no_space`,
   * `capacity` (no uid), `create_failed`.
   */
  make(id: VolumeId, bytes: number): Promise<void>;
  /**
   * Waits up to 2 s for its last sandbox to be gone. A volume that does not exist is fine. Throws `capacity` when it is
   * in use.
   */
  remove(id: VolumeId): Promise<void>;
  /** Whole ones and those whose making or removal was cut off: `make` and `remove` finish either. */
  list(): Promise<readonly VolumeId[]>;
}

export interface ProbeFinding {
  readonly name: string;
  readonly status: "ok" | "warning" | "failed";
  readonly detail: string;
  /** What to do, for `warning` and `failed`. */
  readonly hint?: string;
}

export interface DriverCapabilities {
  readonly pause: boolean;
  readonly survivesOwner: boolean;
  readonly memorySnapshot: boolean;
}

export interface ReapReport {
  readonly reaped: readonly string[];
  readonly failed: readonly { readonly id: string; readonly detail: string }[];
}

/** How sandboxes are made. An implementation lives in its own folder; its vendor types stay there. */
export interface Driver extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: DriverCapabilities;
  /** Present where nodes start from images instead of mounted template folders. */
  readonly images?: ImageEngine;
  /** Absent where the host's disk is not the sandboxes' (a remote engine). Usable after `start`. */
  readonly volumes?: Volumes | undefined;
  /**
   * Probes every mechanism by using it. `failed` findings refuse the driver (fail closed). What it made and cannot
   * remove goes to `owe`.
   */
  probe(owe: Owe): Promise<readonly ProbeFinding[]>;
  /**
   * Makes what every later `create` needs (resident launcher, cgroup parent). Throws `driver_unavailable` with the
   * first failed finding.
   */
  start(): Promise<void>;
  /**
   * Makes a sandbox whose supervisor is about to dial `socketDir`. Throws `isolation_failed`, `create_failed`,
   * `no_space` or `capacity`, and leaves nothing behind when it throws or when `signal` aborts: what it cannot remove
   * goes to `owe` before it throws.
   */
  create(spec: SandboxSpec, signal: AbortSignal, owe: Owe): Promise<SandboxHost>;
  /**
   * Takes over a living sandbox whose owner is dead. Throws `not_found`, `adoption_refused` (its owner lives, or
   * record, generation and start time disagree; what it took and cannot remove goes to `owe`). Present where
   * `capabilities.survivesOwner`.
   */
  adopt?(id: SandboxId, signal: AbortSignal, owe: Owe): Promise<AdoptedSandbox>;
  /** Removes what dead owners left: processes, cgroups, mounts, folders, locks. Touches nothing whose owner lives. */
  reap(): Promise<ReapReport>;
}
