import type { SandboxId } from "../model/ids.ts";
import type { Limits } from "../model/limits.ts";
import type { SandboxHost } from "../sandbox/host.ts";

export type { SandboxEnd, SandboxHost as DriverSandbox, UsageSample } from "../sandbox/host.ts";

/** Where a sandbox's workspace lives on the host. Platform code decides; no field of it comes from a task. */
export type WorkspaceSource =
  /** A new fixed-size volume of `limits.workspaceBytes`, in the strongest mode the host offers (image, else polled folder). */
  | { readonly kind: "new" }
  /** A new sized tmpfs; counts as memory. */
  | { readonly kind: "memory" }
  /**
   * A host folder bound as the workspace, under the given host uid and gid (porters, template builds). Only a porter, which runs no
   * guest code, may have uid or gid 0.
   */
  | {
      readonly kind: "folder";
      readonly path: string;
      readonly uid: number;
      readonly gid: number;
      readonly readOnly: boolean;
      readonly porter?: boolean;
    }
  /** The ended workspace of another sandbox of this data folder (porters), under the uid it had. Read-only unless `writable`. */
  | { readonly kind: "ended"; readonly sandboxId: SandboxId; readonly writable?: boolean };

/** A host folder shown inside. The source is never writable by a guest on the host side except where `writable` says so. */
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
  /** Content hash of the mounted template, for the record. */
  readonly templateHash?: string;
  /** Host folder that holds `host.sock`, already listening; the driver mounts it read-only at /run/paddock and gives the socket to the sandbox's uid. */
  readonly socketDir: string;
  /** Channel key, 32 hex digits; goes to the supervisor on descriptor 0 and nowhere else. */
  readonly key: string;
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
  /** Probes every mechanism by using it. `failed` findings refuse the driver (fail closed). */
  probe(): Promise<readonly ProbeFinding[]>;
  /** Makes what every later `create` needs (resident launcher, cgroup parent). Throws `driver_unavailable` with the first failed finding. */
  start(): Promise<void>;
  /**
   * Makes a sandbox whose supervisor is about to dial `socketDir`. Throws `isolation_failed`, `create_failed`, `no_space` or `capacity`,
   * and leaves nothing behind when it throws or when `signal` aborts.
   */
  create(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxHost>;
  /** Removes what dead owners left: processes, cgroups, mounts, folders, locks. Touches nothing whose owner lives. */
  reap(): Promise<ReapReport>;
}
