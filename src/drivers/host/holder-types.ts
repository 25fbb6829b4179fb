import type { Home } from "../../config/home.ts";
import type { SandboxId } from "../../model/ids.ts";
import type { Limits } from "../../model/limits.ts";
import type { WorkspaceSource } from "../driver.ts";

/**
 * Where an engine can keep a workspace of kind `new`. `loop`: it mounts block devices of this machine (a local engine
 * run by root). `folder`: it sees this machine's files. `memory`: neither (remote). The holder falls back from `loop`
 * to `folder` where we are not root or lack loop devices.
 */
export type WorkspaceStorage = "loop" | "folder" | "memory";

/** The container that will be made. */
export interface ContainerName {
  /** `paddock-<sandbox id>`; nothing else is accepted. */
  readonly name: string;
  /**
   * Absolute path of the engine's unix socket; null where it is not on a local socket, and then nobody but the driver
   * removes containers.
   */
  readonly socket: string | null;
}

/** What the next owner needs. The record that keeps it has mode 0600. */
export interface HoldAdoption {
  /** How long the sandbox waits without an owner before any reaper removes it. */
  readonly graceMs: number;
  /**
   * Without an owner it is removed this long after it was held, whatever is left of its grace. Null: only grace
   * decides.
   */
  readonly lifetimeMs?: number | null;
  /** Opaque JSON, at most 256 KiB (channel key, fleet state). */
  readonly payload: unknown;
}

export interface HoldRequest {
  readonly id: SandboxId;
  /**
   * `run/<id>` or `run/<id>/socket` of the data folder. Its `host.sock`, if it exists by now, is given to the sandbox's
   * uid.
   */
  readonly socketDir: string;
  readonly workspace: WorkspaceSource;
  readonly limits: Limits;
  readonly storage: WorkspaceStorage;
  readonly container: ContainerName;
  /** Null: the container goes with its owner. */
  readonly adoption: HoldAdoption | null;
}

/**
 * `device` is the loop device to mount as ext4 (`ro` when `readOnly`), `path` the folder to bind; a `memory` workspace
 * the driver makes itself.
 */
export type HeldWorkspace =
  | { readonly kind: "loop"; readonly device: string; readonly mode: "image"; readonly readOnly: boolean }
  | { readonly kind: "folder"; readonly path: string; readonly mode: "polled"; readonly readOnly: boolean }
  | { readonly kind: "memory"; readonly mode: "memory" };

export interface Held {
  readonly uid: number;
  readonly gid: number;
  /** A uid of the pool that nothing else on this machine runs under. */
  readonly distinctUid: boolean;
  /** 1 for a new id, one more each time the id is held again over its own workspace. An adoption keeps it. */
  readonly generation: number;
  readonly workspace: HeldWorkspace;
}

/** What the engine said of the running container. */
export interface HeldFacts {
  /** 64 hex digits. */
  readonly containerId: string;
  /** As the engine gives it. */
  readonly startedAt: string;
  /** The container's first process as this machine sees it; null where it cannot (remote, in a virtual machine). */
  readonly pid: number | null;
  /**
   * Cgroup folders of the container on this machine, for looking and killing. Their paths hold the container's id, else
   * they are refused.
   */
  readonly cgroups: readonly string[];
}

export interface AdoptedHold {
  readonly held: Held;
  readonly facts: HeldFacts;
  readonly payload: unknown;
  readonly container: ContainerName;
  readonly socketDir: string;
}

export interface RemoveOptions {
  /** Keeps a `new` workspace as an ended one. */
  readonly keepWorkspace: boolean;
  /**
   * The engine has confirmed that the container is gone, or was never asked for one. False: the launcher asks the
   * engine itself, before `started` for 3 s because a create may be under way, and kills what it can when the engine is
   * silent.
   */
  readonly containerRemoved: boolean;
}

export interface HolderOptions {
  readonly home: Home;
  /** The driver's name, for records. */
  readonly driver: string;
  readonly python?: string;
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
}
