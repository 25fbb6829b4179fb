/** What the launcher is told about one sandbox; images/launcher/launch.py is its other half, keep the two alike. */

/** Descriptor numbers that bubblewrap's arguments name and the launcher fills. */
export const FD = { arguments: 10, status: 11, seccomp: 12, workspace: 13, firstData: 14 } as const;

export interface ControlGroup {
  readonly path: string;
  /** File name and value pairs, in order; a name that ends in `?` is skipped where the kernel lacks the file. */
  readonly writes: readonly (readonly [string, string])[];
  readonly join: "tasks" | "clone";
}

export interface GroupParent {
  readonly path: string;
  /** Controllers to hand down; empty under cgroup v1. */
  readonly controllers: readonly string[];
}

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export interface WorkspacePlan {
  /** Folder to make for this sandbox; null when the workspace is somebody else's or a tmpfs. */
  readonly folder: string | null;
  /** Formatted empty image to copy into `folder`; null for a plain folder. */
  readonly blank: string | null;
  /** Image to mount on `source`. */
  readonly image: string | null;
  /** Folder that bubblewrap binds; null for a tmpfs. */
  readonly source: string | null;
  readonly readOnly: boolean;
  /**
   * File of an ended workspace or a volume that is locked while the sandbox lives: by itself, or with others that only
   * read.
   */
  readonly lock: string | null;
  /** Id of the volume that it is. */
  readonly volume: string | null;
}

export interface LaunchPlan {
  readonly id: string;
  readonly arguments: readonly string[];
  readonly command: readonly string[];
  /** Written to the command's descriptor 0, which then ends. */
  readonly stdin: string;
  /** Contents of the synthetic files, in the order of their descriptors. */
  readonly data: readonly string[];
  /** Host identity to run under; null takes a uid from the pool (root) or keeps our own. */
  readonly identity: Identity | null;
  readonly groups: readonly ControlGroup[];
  readonly rlimits: Readonly<Record<string, number>>;
  /** Whether a bounded instance of terminals is mounted over `/dev/pts`; takes root. */
  readonly hasOwnTerminals: boolean;
  /** RLIMIT_NPROC as so many above what the uid runs already: the stand-in for a pids cgroup. */
  readonly tasksAbovePresent: number | null;
  readonly workspace: WorkspacePlan;
  readonly runDir: string;
}
