import type { Home } from "../../../src/config/home.ts";
import type { Driver } from "../../../src/drivers/driver.ts";
import type { Isolation, WorkspaceMode } from "../../../src/model/isolation.ts";

export type CheckGroup =
  | "lifecycle"
  | "processes"
  | "code"
  | "files"
  | "network"
  | "limits"
  | "kill"
  | "stats"
  | "pause"
  | "reaping"
  | "adoption"
  | "volumes"
  | "isolation";

/** A driver that the suite is to examine. */
export interface DriverSubject {
  /** Title of its tests and key of its skips. */
  readonly name: string;
  /** A driver over this data folder, not started. */
  readonly open: (home: Home) => Promise<Driver>;
  /**
   * URL of a module that exports the same `open`: owners that get killed are processes of their own and load it.
   * Without it the checks that need such an owner are left out.
   */
  readonly module?: string;
  /**
   * What of these sandboxes is left beyond processes, mounts, loop devices, cgroups and files that carry their ids, for
   * people. For what only the driver's engine knows.
   */
  readonly listRemains?: (ids: readonly string[]) => readonly string[];
  /**
   * What its sandboxes' isolation says where that is weaker than the suite's own demand: a filter, a uid of their own,
   * an image.
   */
  readonly isolation?: Partial<Pick<Isolation, "seccomp" | "distinct_uid">> & { readonly workspace?: WorkspaceMode };
  /** Groups of checks that are run. Default: all. */
  readonly groups?: readonly CheckGroup[];
  /** Checks that this driver does not pass, by title, each with its reason. */
  readonly skips?: Readonly<Record<string, string>>;
  /** Data folder. Default: `/var/tmp/paddock-conformance-<uid>`, kept between runs. */
  readonly homeRoot?: string;
}
