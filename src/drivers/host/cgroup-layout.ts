import { basename, dirname, join, relative } from "node:path";
import type { Limits } from "../../model/limits.ts";
import type { ControlGroup, GroupParent } from "./launch.ts";

/** Where the groups of sandboxes go. A folder named after the sandbox is made in each of these. */
export interface GroupLayout {
  readonly mode: "cgroup2" | "cgroup1";
  readonly parents: readonly GroupParent[];
  readonly memory: string;
  readonly pids: string;
  /** Absent where the controller is not there for us. */
  readonly cpu?: string;
  readonly cpuAccounting?: string;
  /** A v2 group that exists for `cgroup.kill`; under `cgroup2` the same as the others. */
  readonly unified?: string;
}

/** The texts of /proc/self/mountinfo and /proc/self/cgroup. */
export interface CgroupTexts {
  readonly mountinfo: string;
  readonly membership: string;
}

interface CgroupMount {
  readonly root: string;
  readonly mountPoint: string;
  readonly version: 1 | 2;
  readonly options: ReadonlySet<string>;
}

const CONTAINER = "paddock";
const CPU_PERIOD_US = 100_000;
/**
 * Version 1 counts what sockets hold apart from the memory, and only under a limit of its own (launcher/groups.py has
 * the same).
 */
const MEMORY_PER_SOCKETS = 4;

const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

function parseMounts(mountinfo: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of mountinfo.split("\n")) {
    const [left, right] = line.split(" - ");
    const [, , , root, mountPoint] = left?.split(" ") ?? [];
    const [type, , options] = right?.split(" ") ?? [];
    if (root === undefined || mountPoint === undefined || (type !== "cgroup" && type !== "cgroup2")) continue;
    mounts.push({
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      version: type === "cgroup2" ? 2 : 1,
      options: new Set(options?.split(",")),
    });
  }
  return mounts;
}

/** Controller (or "" for cgroup v2) to the path of our own group in its hierarchy. */
function parseMembership(membership: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of membership.split("\n")) {
    const [, controllers, ...path] = line.split(":");
    if (controllers === undefined) continue;
    for (const controller of controllers.split(",")) paths.set(controller, path.join(":"));
  }
  return paths;
}

/** Our own group as a folder; undefined when the mount shows another part of the hierarchy. */
function findOwnFolder(mount: CgroupMount, path: string): string | undefined {
  const inside = relative(mount.root, path);
  if (path === "/" || !inside.startsWith("..")) return join(mount.mountPoint, path === "/" ? "" : inside);
  return undefined;
}

function findVersion1(mounts: readonly CgroupMount[], paths: ReadonlyMap<string, string>): GroupLayout | undefined {
  const locate = (controller: string): string | undefined => {
    const mount = mounts.find(({ version, options }) => version === 1 && options.has(controller));
    const own = mount === undefined ? undefined : findOwnFolder(mount, paths.get(controller) ?? "/");
    return own === undefined ? undefined : join(own, CONTAINER);
  };
  const [memory, pids, cpu, cpuAccounting] = ["memory", "pids", "cpu", "cpuacct"].map(locate);
  if (memory === undefined || pids === undefined) return undefined;
  const mount2 = mounts.find(({ version }) => version === 2);
  const own2 = mount2 === undefined ? undefined : findOwnFolder(mount2, paths.get("") ?? "/");
  const unified = own2 === undefined ? undefined : join(own2, CONTAINER);
  const folders = new Set([memory, pids, cpu, cpuAccounting, unified].filter((path) => path !== undefined));
  return {
    mode: "cgroup1",
    parents: [...folders].map((path) => ({ path, controllers: [] })),
    memory,
    pids,
    ...(cpu === undefined ? {} : { cpu }),
    ...(cpuAccounting === undefined ? {} : { cpuAccounting }),
    ...(unified === undefined ? {} : { unified }),
  };
}

function makeVersion2(ancestor: string, withCpu: boolean): GroupLayout {
  const path = join(ancestor, CONTAINER);
  const controllers = withCpu ? ["memory", "pids", "cpu"] : ["memory", "pids"];
  return {
    mode: "cgroup2",
    parents: [{ path, controllers }],
    memory: path,
    pids: path,
    ...(withCpu ? { cpu: path } : {}),
    cpuAccounting: path,
    unified: path,
  };
}

function listVersion2(
  mounts: readonly CgroupMount[],
  paths: ReadonlyMap<string, string>,
  isRoot: boolean,
): GroupLayout[] {
  const mount = mounts.find(({ version }) => version === 2);
  const own = mount === undefined ? undefined : findOwnFolder(mount, paths.get("") ?? "/");
  if (mount === undefined || own === undefined) return [];
  const ancestors: string[] = [];
  for (let path = own; path.startsWith(mount.mountPoint); path = dirname(path)) {
    ancestors.push(path);
    if (path === mount.mountPoint) break;
  }
  if (isRoot) ancestors.reverse();
  return ancestors.flatMap((path) => [makeVersion2(path, true), makeVersion2(path, false)]);
}

/**
 * The places where groups could go, best first; each must still be proven by making one. Root: the top of the v2
 * hierarchy, else v1 below our own groups. A user: the nearest ancestor, which is what a service manager delegates.
 */
export function listLayouts(texts: CgroupTexts, isRoot: boolean): GroupLayout[] {
  const mounts = parseMounts(texts.mountinfo);
  const paths = parseMembership(texts.membership);
  const version1 = isRoot ? findVersion1(mounts, paths) : undefined;
  if (version1 !== undefined) return [version1];
  return listVersion2(mounts, paths, isRoot);
}

/** Groups that somebody else made. */
export interface FoundGroups {
  readonly layout: GroupLayout;
  /** Name of the group below each of the layout's folders. */
  readonly name: string;
  readonly folders: readonly string[];
}

/** The groups of the process whose membership is given. Undefined where our mounts do not show them. */
export function findGroups(texts: CgroupTexts): FoundGroups | undefined {
  const mounts = parseMounts(texts.mountinfo);
  const paths = parseMembership(texts.membership);
  const locate = (controller: string): string | undefined => {
    const version = controller === "" ? 2 : 1;
    const mount = mounts.find(
      (candidate) => candidate.version === version && (version === 2 || candidate.options.has(controller)),
    );
    const path = paths.get(controller);
    return mount === undefined || path === undefined || path === "/" ? undefined : findOwnFolder(mount, path);
  };
  const [memory, pids, cpuAccounting, unified] = ["memory", "pids", "cpuacct", ""].map(locate);
  const isVersion1 = memory !== undefined && pids !== undefined;
  const main = isVersion1 ? memory : unified;
  if (main === undefined) return undefined;
  const parents = {
    memory: dirname(main),
    pids: dirname(isVersion1 ? pids : main),
    cpuAccounting: dirname(cpuAccounting ?? main),
  };
  const folders = isVersion1 ? [memory, pids, cpuAccounting, unified] : [unified];
  return {
    layout: { mode: isVersion1 ? "cgroup1" : "cgroup2", parents: [], ...parents },
    name: basename(main),
    folders: [...new Set(folders.filter((folder) => folder !== undefined))],
  };
}

/** The groups of one sandbox with their limits. Swap counts as memory. */
export function makeGroups(layout: GroupLayout, name: string, limits: Limits): ControlGroup[] {
  const writes = new Map<string, [string, string][]>();
  const put = (parent: string | undefined, ...files: [string, string][]): void => {
    if (parent !== undefined) writes.set(parent, [...(writes.get(parent) ?? []), ...files]);
  };
  const quota = String(Math.max(1000, Math.round(limits.cpus * CPU_PERIOD_US)));
  const memory = String(limits.memoryBytes);
  if (layout.mode === "cgroup2") {
    put(layout.memory, ["memory.max", memory], ["memory.swap.max?", "0"], ["pids.max", String(limits.pids)]);
    put(layout.cpu, ["cpu.max", `${quota} ${CPU_PERIOD_US}`]);
  } else {
    put(layout.memory, ["memory.limit_in_bytes", memory], ["memory.memsw.limit_in_bytes?", memory]);
    put(layout.memory, [
      "memory.kmem.tcp.limit_in_bytes?",
      String(Math.floor(limits.memoryBytes / MEMORY_PER_SOCKETS)),
    ]);
    put(layout.pids, ["pids.max", String(limits.pids)]);
    put(layout.cpu, ["cpu.cfs_period_us", String(CPU_PERIOD_US)], ["cpu.cfs_quota_us", quota]);
    put(layout.cpuAccounting);
    put(layout.unified);
  }
  return [...writes].map(([parent, files]) => ({
    path: join(parent, name),
    writes: files,
    join: layout.mode === "cgroup2" || parent === layout.unified ? "clone" : "tasks",
  }));
}
