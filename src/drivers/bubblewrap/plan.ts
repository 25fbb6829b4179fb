import { release } from "node:os";
import { SUPERVISOR_DIR } from "../../model/guest-paths.ts";
import type { Isolation } from "../../model/isolation.ts";
import type { Limits } from "../../model/limits.ts";
import { MIB } from "../../model/units.ts";
import type { SandboxSpec } from "../driver.ts";
import { makeGroups } from "../host/cgroup-layout.ts";
import { makeHostname, makeProcessLimits, makeStartLine } from "../host/inside.ts";
import type { LaunchPlan } from "../host/launch.ts";
import { ownIdentity } from "../host/storage.ts";
import type { ResolvedWorkspace } from "../host/workspace.ts";
import { makeBubblewrapArguments, type WorkspaceBind } from "./arguments.ts";
import { makeDataFiles } from "./base.ts";
import type { Setup } from "./setup.ts";

/** Processes of bubblewrap itself that a limit per user counts. */
const BUBBLEWRAP_TASKS = 2;

/**
 * RLIMIT_DATA counts what a process reserves, touched or not, and V8 reserves 512 MiB for code alone: below this Node
 * does not start.
 */
const MIN_DATA_BYTES = 1024 * MIB;

function makeRlimits(limits: Limits, setup: Setup): Record<string, number> {
  return {
    ...makeProcessLimits(limits),
    ...(setup.limitsMode === "rlimit" ? { DATA: Math.max(limits.memoryBytes, MIN_DATA_BYTES) } : {}),
  };
}

function bindWorkspace(spec: SandboxSpec, setup: Setup, { plan }: ResolvedWorkspace): WorkspaceBind {
  const { source, readOnly } = plan;
  const path = spec.workspacePath;
  if (source === null) return { kind: "tmpfs", path, bytes: spec.limits.workspaceBytes };
  return { kind: "bind", path, source, readOnly, byDescriptor: setup.bubblewrap.bindsByDescriptor };
}

export function makeLaunchPlan(
  spec: SandboxSpec,
  setup: Setup,
  workspace: ResolvedWorkspace,
  command: readonly string[] | undefined,
): LaunchPlan {
  const hostname = makeHostname(spec.id);
  const dataFiles = makeDataFiles(hostname, spec.workspacePath);
  const hasOwnTerminals = ownIdentity().uid === 0;
  const { layout, base, supervisor, node, caBundle } = setup;
  return {
    id: spec.id,
    arguments: makeBubblewrapArguments({
      hostname,
      base,
      dataFiles,
      ...(caBundle === undefined ? {} : { caBundle }),
      supervisor,
      ...(node === undefined ? {} : { node }),
      mounts: spec.mounts,
      socketDir: spec.socketDir,
      tmpBytes: spec.limits.tmpBytes,
      hasOwnTerminals,
      workspace: bindWorkspace(spec, setup, workspace),
    }),
    command: command ?? [setup.python, "-I", "-S", "-B", `${SUPERVISOR_DIR}/__main__.py`],
    stdin: makeStartLine(spec.key),
    data: dataFiles.map(({ content }) => content),
    identity: workspace.identity,
    groups: layout === undefined ? [] : makeGroups(layout, spec.id, spec.limits),
    rlimits: makeRlimits(spec.limits, setup),
    hasOwnTerminals,
    tasksAbovePresent: setup.limitsMode === "rlimit" ? spec.limits.pids + BUBBLEWRAP_TASKS : null,
    workspace: workspace.plan,
    runDir: spec.socketDir,
  };
}

export function describeIsolation(spec: SandboxSpec, setup: Setup, workspace: ResolvedWorkspace): Isolation {
  return {
    driver: "bubblewrap",
    runtime: "bwrap",
    version: setup.bubblewrap.version,
    kernel: release(),
    seccomp: "filter",
    distinct_uid: workspace.hasOwnUid,
    limits: { mode: setup.limitsMode, workspace: workspace.mode },
    ...(spec.templateHash === undefined ? {} : { template: spec.templateHash }),
  };
}
