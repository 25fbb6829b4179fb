import { CA_FILE, NODE_DIR, SOCKET_DIR, SUPERVISOR_DIR } from "../../model/guest-paths.ts";
import { MIB } from "../../model/units.ts";
import type { Mount } from "../driver.ts";
import { assertTargets, type DataFile, makeEnvironment, SHARED_MEMORY_BYTES } from "../host/inside.ts";
import { FD } from "../host/launch.ts";
import type { Base, RootEntry } from "./base.ts";

const ROOT_BYTES = 8 * MIB;
const EMPTY_BYTES = 4096;

export type WorkspaceBind =
  | { readonly kind: "tmpfs"; readonly path: string; readonly bytes: number }
  | {
      readonly kind: "bind";
      readonly path: string;
      readonly source: string;
      readonly readOnly: boolean;
      /** Whether this bubblewrap checks the folder against the launcher's open descriptor. */
      readonly byDescriptor: boolean;
    };

/** Everything the argument list depends on. */
export interface BubblewrapPlan {
  readonly hostname: string;
  readonly base: Base;
  readonly dataFiles: readonly DataFile[];
  readonly caBundle?: string;
  readonly supervisor?: string;
  readonly node?: string;
  readonly mounts: readonly Mount[];
  readonly socketDir: string;
  readonly tmpBytes: number;
  /** The launcher mounts a bounded instance of terminals over `/dev/pts` that only this sandbox sees. */
  readonly hasOwnTerminals: boolean;
  readonly workspace: WorkspaceBind;
}

const NAMESPACES = [
  "--unshare-user",
  "--unshare-all",
  "--disable-userns",
  "--cap-drop",
  "ALL",
  "--new-session",
  "--die-with-parent",
  "--as-pid-1",
  "--uid",
  "1000",
  "--gid",
  "1000",
];

function sizedTmpfs(bytes: number, target: string, mode?: string): string[] {
  return ["--size", String(bytes), ...(mode === undefined ? [] : ["--perms", mode]), "--tmpfs", target];
}

function showRoot(entry: RootEntry): string[] {
  return entry.kind === "symlink" ? ["--symlink", entry.target, entry.path] : ["--ro-bind", entry.path, entry.path];
}

function showSystem(base: Base): string[] {
  return [
    ...sizedTmpfs(ROOT_BYTES, "/"),
    "--ro-bind",
    "/usr",
    "/usr",
    ...(base.hidesUsrLocal ? [...sizedTmpfs(EMPTY_BYTES, "/usr/local"), "--remount-ro", "/usr/local"] : []),
    ...base.root.flatMap(showRoot),
  ];
}

function showEtc({ base, dataFiles, caBundle }: BubblewrapPlan): string[] {
  return [
    "--perms",
    "0755",
    "--dir",
    "/etc",
    ...dataFiles.flatMap(({ path }, index) => [
      "--perms",
      "0644",
      "--ro-bind-data",
      String(FD.firstData + index),
      path,
    ]),
    ...base.etc.flatMap((path) => ["--ro-bind", path, path]),
    ...(base.localtime === null ? [] : ["--symlink", base.localtime, "/etc/localtime"]),
    ...(caBundle === undefined ? [] : ["--ro-bind", caBundle, CA_FILE]),
  ];
}

function showKernel({ base, hasOwnTerminals }: BubblewrapPlan): string[] {
  return [
    "--proc",
    "/proc",
    ...base.maskedFiles.flatMap((path) => ["--ro-bind", "/dev/null", path]),
    ...base.maskedFolders.flatMap((path) => [...sizedTmpfs(EMPTY_BYTES, path), "--remount-ro", path]),
    "--dev",
    "/dev",
    ...(hasOwnTerminals ? ["--dev-bind", "/dev/pts", "/dev/pts"] : []),
    ...sizedTmpfs(SHARED_MEMORY_BYTES, "/dev/shm", "1777"),
    "--remount-ro",
    "/dev",
  ];
}

function showMount({ source, target, writable }: Mount): string[] {
  return [writable ? "--bind" : "--ro-bind", source, target];
}

/**
 * Read-only mounts come before writable ones, so that nothing is ever created below what a guest could have prepared.
 */
function showPlatform({ supervisor, node, mounts, socketDir }: BubblewrapPlan): string[] {
  return [
    ...(supervisor === undefined ? [] : ["--ro-bind", supervisor, SUPERVISOR_DIR]),
    ...(node === undefined ? [] : ["--ro-bind", node, NODE_DIR]),
    "--ro-bind",
    socketDir,
    SOCKET_DIR,
    ...mounts.filter(({ writable }) => !writable).flatMap(showMount),
    ...mounts.filter(({ writable }) => writable).flatMap(showMount),
  ];
}

function showWorkspace(workspace: WorkspaceBind): string[] {
  if (workspace.kind === "tmpfs") return sizedTmpfs(workspace.bytes, workspace.path, "0700");
  const option = workspace.readOnly ? "--ro-bind" : "--bind";
  return workspace.byDescriptor
    ? [`${option}-fd`, String(FD.workspace), workspace.path]
    : [option, workspace.source, workspace.path];
}

function showEnvironment(workspacePath: string): string[] {
  const environment = Object.entries(makeEnvironment(workspacePath));
  return ["--clearenv", ...environment.flatMap(([name, value]) => ["--setenv", name, value])];
}

/**
 * The options of one bubblewrap, in the only order that holds: the workspace is the last thing mounted and no option
 * names a path below it. They are handed over by descriptor (`--args`), so that no host path shows in a command line.
 */
export function makeBubblewrapArguments(plan: BubblewrapPlan): string[] {
  assertTargets(plan.mounts, plan.workspace.path);
  return [
    ...NAMESPACES,
    "--hostname",
    plan.hostname,
    ...showSystem(plan.base),
    ...showEtc(plan),
    ...showKernel(plan),
    ...sizedTmpfs(plan.tmpBytes, "/tmp", "1777"),
    "--dir",
    "/var",
    "--symlink",
    "../tmp",
    "/var/tmp",
    ...showPlatform(plan),
    ...showWorkspace(plan.workspace),
    "--remount-ro",
    "/",
    "--chdir",
    plan.workspace.path,
    ...showEnvironment(plan.workspace.path),
    "--seccomp",
    String(FD.seccomp),
    "--json-status-fd",
    String(FD.status),
  ];
}
