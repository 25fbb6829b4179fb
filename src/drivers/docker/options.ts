import type Docker from "dockerode";
import { CA_FILE, NODE_DIR, SOCKET_DIR, SUPERVISOR_DIR } from "../../model/guest-paths.ts";
import type { Mount, SandboxSpec } from "../driver.ts";
import type { Held } from "../host/holder.ts";
import {
  assertTargets,
  MASKED_FILES,
  MASKED_FOLDERS,
  makeEnvironment,
  makeHostname,
  makeProcessLimits,
  SHARED_MEMORY_BYTES,
} from "../host/inside.ts";
import { LABEL, type Labels } from "./engine/labels.ts";
import { ETC } from "./remote-etc.ts";

/**
 * What a runtime needs on top of a sandbox's own limits: gVisor's kernel runs inside the container's cgroup and is
 * counted there.
 */
export interface RuntimeOverhead {
  readonly memoryBytes: number;
  readonly pids: number;
  /** What the host counts per process or thread of the guest. */
  readonly threadsPerTask: number;
}

/** Everything the creation options depend on. All of it is the platform's word: no field is a tenant's text. */
export interface ContainerPlan {
  readonly spec: SandboxSpec;
  readonly held: Held;
  readonly fleet: string;
  readonly image: string;
  readonly runtime: string;
  readonly overhead: RuntimeOverhead;
  readonly cgroupVersion: 1 | 2;
  /** JSON text of the profile. */
  readonly seccomp: string;
  /** `uid:gid` inside; differs from the held ids only under a rootless engine. */
  readonly user: string;
  /** False where the engine does not see this machine's files: then nothing of the host is mounted. */
  readonly isLocal: boolean;
  /** True: the sandbox dials the socket in `spec.socketDir`. */
  readonly usesSocket: boolean;
  /** Synthetic files, by their path inside. */
  readonly files: Readonly<Record<string, string>>;
  /** Folders of this machine shown in place of what node images carry. */
  readonly supervisor?: string;
  readonly node?: string;
  readonly caBundle?: string;
  readonly command: readonly string[];
}

/**
 * dockerode's types lack the cgroup namespace and type mounts loosely; the test holds the whole object against a
 * snapshot.
 */
export type ContainerBody = Docker.ContainerCreateOptions & {
  readonly HostConfig: Docker.HostConfig & { readonly CgroupnsMode: "private" };
};

/**
 * gVisor shows them to every guest and masks no path of `/dev`; a file over the one and a file system over the other
 * hide them.
 */
export const HIDDEN_DEVICE = "/dev/fuse";
const HIDDEN_DEVICE_FOLDER = "/dev/net";
const CPU_PERIOD_US = 100_000;
const MIN_QUOTA_US = 1000;
const TMP_INODES = 65_536;
const OOM_SCORE = 500;
const STOP_SECONDS = 2;
/** All of /sys is hidden as well: under bubblewrap there is none. */
const HIDDEN = ["/sys"];
const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

const showFile = (source: string, target: string, writable: boolean): Docker.MountSettings => ({
  Type: "bind",
  Source: source,
  Target: target,
  ReadOnly: !writable,
  BindOptions: { Propagation: "rprivate" },
});

export function makeLabels({ spec, held, fleet }: Pick<ContainerPlan, "spec" | "held" | "fleet">): Labels {
  return {
    [LABEL.fleet]: fleet,
    [LABEL.sandbox]: spec.id,
    [LABEL.generation]: String(held.generation),
    ...(spec.nodeType === undefined ? {} : { [LABEL.nodeType]: spec.nodeType }),
    ...(spec.templateHash === undefined ? {} : { [LABEL.template]: spec.templateHash }),
  };
}

/**
 * The engine mounts a loop device itself, as a volume without a name: it goes with the container. Such a volume must
 * not be `ReadOnly`; the mount's own option says it.
 */
function mountWorkspace(plan: ContainerPlan): Docker.MountSettings[] {
  const { held, spec } = plan;
  const { workspace } = held;
  switch (workspace.kind) {
    case "memory":
      return [];
    case "folder":
      return [showFile(workspace.path, spec.workspacePath, !workspace.readOnly)];
    case "loop": {
      const o = `nosuid,nodev,noatime${workspace.readOnly ? ",ro" : ""}`;
      const DriverConfig = { Name: "local", Options: { type: "ext4", device: workspace.device, o } };
      const VolumeOptions = { NoCopy: true, Labels: { ...makeLabels(plan) }, DriverConfig };
      return [{ Type: "volume", Source: "", Target: spec.workspacePath, VolumeOptions }];
    }
  }
}

/**
 * Where nothing of this machine can be shown, /etc is a volume that starts as a copy of the image's, so that files can
 * be put into it before the container starts: the engine refuses that for a read-only root. All of it is root's, and
 * the guest is not root.
 */
function mountEtc(plan: ContainerPlan): Docker.MountSettings[] {
  if (plan.isLocal) return [];
  const VolumeOptions = {
    NoCopy: false,
    Labels: { ...makeLabels(plan) },
    DriverConfig: { Name: "local", Options: {} },
  };
  return [{ Type: "volume", Source: "", Target: ETC, VolumeOptions }];
}

function listMounts(plan: ContainerPlan): Docker.MountSettings[] {
  const { spec, files, supervisor, node, caBundle, usesSocket } = plan;
  const show = (source: string | undefined, target: string): Docker.MountSettings[] =>
    source === undefined ? [] : [showFile(source, target, false)];
  const extra = ({ source, target, writable }: Mount): Docker.MountSettings => showFile(source, target, writable);
  return [
    ...mountEtc(plan),
    ...Object.entries(files).flatMap(([target, source]) => show(source, target)),
    ...show(supervisor, SUPERVISOR_DIR),
    ...show(node, NODE_DIR),
    ...show(caBundle, CA_FILE),
    ...show(usesSocket ? spec.socketDir : undefined, SOCKET_DIR),
    ...spec.mounts.filter(({ writable }) => !writable).map(extra),
    ...spec.mounts.filter(({ writable }) => writable).map(extra),
    ...mountWorkspace(plan),
  ];
}

function listTmpfs({ spec, held, user, overhead }: ContainerPlan): Record<string, string> {
  const size = (bytes: number): string => `rw,exec,nosuid,nodev,size=${bytes},nr_inodes=${TMP_INODES}`;
  const [uid, gid] = user.split(":");
  const own = `,uid=${uid},gid=${gid},mode=0700`;
  return {
    "/tmp": `${size(spec.limits.tmpBytes)},mode=1777`,
    ...(overhead.pids > 0 ? { [HIDDEN_DEVICE_FOLDER]: "ro,size=4096,mode=0000" } : {}),
    ...(held.workspace.kind === "memory" ? { [spec.workspacePath]: `${size(spec.limits.workspaceBytes)}${own}` } : {}),
  };
}

/**
 * A runtime with a kernel of its own (one that is counted in the container's cgroup) counts the guest's processes by
 * itself, and only against this limit; elsewhere `nproc` would count a uid of the host.
 */
function makeUlimits({ spec, overhead }: ContainerPlan): { Name: string; Soft: number; Hard: number }[] {
  const limits = { ...makeProcessLimits(spec.limits), ...(overhead.pids > 0 ? { NPROC: spec.limits.pids } : {}) };
  return Object.entries(limits).map(([name, value]) => ({ Name: name.toLowerCase(), Soft: value, Hard: value }));
}

/** Limits stand directly in HostConfig, where the engine reads them; elsewhere they would be ignored without a word. */
function limitResources(plan: ContainerPlan): Docker.HostConfig {
  const { spec, overhead, cgroupVersion } = plan;
  const memory = spec.limits.memoryBytes + overhead.memoryBytes;
  return {
    Memory: memory,
    MemorySwap: memory,
    ...(cgroupVersion === 1 ? { MemorySwappiness: 0 } : {}),
    PidsLimit: spec.limits.pids * overhead.threadsPerTask + overhead.pids,
    // NanoCpus would be refused above the machine's cores; the quota is what it is turned into.
    CpuPeriod: CPU_PERIOD_US,
    CpuQuota: Math.max(MIN_QUOTA_US, Math.round(spec.limits.cpus * CPU_PERIOD_US)),
    OomScoreAdj: OOM_SCORE,
    OomKillDisable: false,
    Ulimits: makeUlimits(plan),
    ShmSize: SHARED_MEMORY_BYTES,
    Tmpfs: listTmpfs(plan),
  };
}

function confine(plan: ContainerPlan): ContainerBody["HostConfig"] {
  return {
    ...limitResources(plan),
    Runtime: plan.runtime,
    Privileged: false,
    ReadonlyRootfs: true,
    CapAdd: [],
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges:true", `seccomp=${plan.seccomp}`],
    NetworkMode: "none",
    IpcMode: "private",
    CgroupnsMode: "private",
    Dns: ["127.0.0.1"],
    DnsSearch: ["."],
    ExtraHosts: [`${makeHostname(plan.spec.id)}:127.0.0.1`],
    MaskedPaths: [...[...MASKED_FILES, ...MASKED_FOLDERS].map((name) => `/proc/${name}`), ...HIDDEN],
    ReadonlyPaths: [...READ_ONLY],
    LogConfig: { Type: "none", Config: {} },
    RestartPolicy: { Name: "no" },
    AutoRemove: false,
    Init: false,
    Mounts: listMounts(plan),
  };
}

/**
 * The whole request that makes a sandbox's container. Throws `create_failed` for mounts that would cover the base or
 * each other.
 */
export function makeContainerBody(plan: ContainerPlan): ContainerBody {
  assertTargets(plan.spec.mounts, plan.spec.workspacePath);
  return {
    Image: plan.image,
    Hostname: makeHostname(plan.spec.id),
    User: plan.user,
    Env: Object.entries(makeEnvironment(plan.spec.workspacePath)).map(([name, value]) => `${name}=${value}`),
    Entrypoint: [...plan.command],
    Cmd: [],
    WorkingDir: plan.spec.workspacePath,
    Tty: false,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    StdinOnce: true,
    StopTimeout: STOP_SECONDS,
    Healthcheck: { Test: ["NONE"] },
    Labels: { ...makeLabels(plan) },
    HostConfig: confine(plan),
  };
}
