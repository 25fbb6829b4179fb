import { isAbsolute, normalize } from "node:path";
import { PaddockError } from "../../errors/error.ts";
import type { Mount } from "../driver.ts";
import { FD } from "../host/launch.ts";
import type { Base, DataFile, RootEntry } from "./base.ts";

export const SUPERVISOR_TARGET = "/opt/paddock/supervisor";
export const NODE_TARGET = "/opt/paddock/node";
export const SOCKET_TARGET = "/run/paddock";
export const CA_BUNDLE_TARGET = "/etc/paddock/ca.pem";

const MIB = 1024 * 1024;
const ROOT_BYTES = 8 * MIB;
const SHARED_MEMORY_BYTES = 64 * MIB;
const EMPTY_BYTES = 4096;

/** Folders that a workspace or another mount may neither cover nor lie in. */
const RESERVED = [
  ...["/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/usr"],
  SUPERVISOR_TARGET,
  NODE_TARGET,
];

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
    ...(caBundle === undefined ? [] : ["--ro-bind", caBundle, CA_BUNDLE_TARGET]),
  ];
}

function showKernel(base: Base): string[] {
  return [
    "--proc",
    "/proc",
    ...base.maskedFiles.flatMap((path) => ["--ro-bind", "/dev/null", path]),
    ...base.maskedFolders.flatMap((path) => [...sizedTmpfs(EMPTY_BYTES, path), "--remount-ro", path]),
    "--dev",
    "/dev",
    ...sizedTmpfs(SHARED_MEMORY_BYTES, "/dev/shm", "1777"),
    "--remount-ro",
    "/dev",
  ];
}

function showMount({ source, target, writable }: Mount): string[] {
  return [writable ? "--bind" : "--ro-bind", source, target];
}

/** Read-only mounts come before writable ones, so that nothing is ever created below what a guest could have prepared. */
function showPlatform({ supervisor, node, mounts, socketDir }: BubblewrapPlan): string[] {
  return [
    ...(supervisor === undefined ? [] : ["--ro-bind", supervisor, SUPERVISOR_TARGET]),
    ...(node === undefined ? [] : ["--ro-bind", node, NODE_TARGET]),
    "--ro-bind",
    socketDir,
    SOCKET_TARGET,
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
  const environment = {
    PATH: `${NODE_TARGET}/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
    HOME: workspacePath,
    LANG: "C.UTF-8",
  };
  return ["--clearenv", ...Object.entries(environment).flatMap(([name, value]) => ["--setenv", name, value])];
}

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** Nothing may be mounted over the base, nor below anything a guest can write to (CVE-2026-87766). */
function assertTargets({ mounts, workspace }: BubblewrapPlan): void {
  const targets = [...mounts.map(({ target }) => target), workspace.path];
  for (const target of targets) {
    const isProper = isAbsolute(target) && normalize(target) === target && target !== "/" && !target.endsWith("/");
    const isReserved = RESERVED.some((folder) => isWithin(target, folder) || isWithin(folder, target));
    if (!isProper || isReserved || target === "/tmp") {
      throw new PaddockError("create_failed", `nothing can be mounted at ${target} in a sandbox`, {
        hint: "Use a folder of its own, such as /workspace.",
      });
    }
  }
  const writable = [...mounts.filter((mount) => mount.writable).map(({ target }) => target), workspace.path];
  for (const folder of writable) {
    if (targets.filter((target) => isWithin(target, folder)).length > 1) {
      throw new PaddockError("create_failed", `another mount would lie in ${folder}, which the sandbox can write to`);
    }
  }
}

/**
 * The options of one bubblewrap, in the only order that holds: the workspace is the last thing mounted and no option names a path below it.
 * They are handed over by descriptor (`--args`), so that no host path shows in a command line.
 */
export function makeBubblewrapArguments(plan: BubblewrapPlan): string[] {
  assertTargets(plan);
  return [
    ...NAMESPACES,
    "--hostname",
    plan.hostname,
    ...showSystem(plan.base),
    ...showEtc(plan),
    ...showKernel(plan.base),
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
