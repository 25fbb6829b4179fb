import { PaddockError } from "../../errors/error.ts";
import { PYTHON } from "../../model/guest-paths.ts";
import type { LimitsMode } from "../../model/isolation.ts";
import type { Retention } from "../../model/limits.ts";
import type { ProbeFinding } from "../driver.ts";
import type { GroupLayout } from "../host/cgroup-layout.ts";
import { chooseRetention, configureLauncher } from "../host/configure.ts";
import { installCaBundle, installNode, installProgram, prepareHome, sweepOldCopies } from "../host/install.ts";
import { LauncherProcess } from "../host/launcher-process.ts";
import { chooseStorage, type HostStorage, ownIdentity } from "../host/storage.ts";
import { findNodeTools, LAUNCHER_SOURCE, SUPERVISOR_SOURCE } from "../host/tools.ts";
import { compileSeccomp } from "../seccomp/bpf.ts";
import { type Base, describeBase } from "./base.ts";
import {
  type BubblewrapFacts,
  checkBubblewrap,
  checkDataFolder,
  checkDescriptors,
  checkKernel,
  checkPython,
  checkSandboxing,
} from "./checks.ts";
import { chooseLimits, type LimitsChoice } from "./choices.ts";
import { type BubblewrapOptions, DEFAULT_BUBBLEWRAP } from "./options.ts";

/** What was found and made once, for all sandboxes of a driver. */
export interface Setup {
  readonly bubblewrap: BubblewrapFacts & { readonly path: string };
  readonly python: string;
  readonly base: Base;
  readonly seccomp: Buffer;
  readonly launcherFolder: string;
  readonly supervisor: string;
  readonly node?: string;
  readonly caBundle?: string;
  readonly limitsMode: LimitsMode;
  readonly layout?: GroupLayout;
  readonly storage: HostStorage;
  readonly retention: Retention;
  readonly removalMs: number | undefined;
}

export type OnEnded = (id: string, detail: string) => void;

export interface Inspection {
  readonly findings: readonly ProbeFinding[];
  /** Absent when a finding has failed. */
  readonly ready?: { readonly setup: Setup; readonly launcher: LauncherProcess };
}

const hasFailed = (findings: readonly ProbeFinding[]): boolean => findings.some(({ status }) => status === "failed");

function compileFilter({ compileSeccomp: compile = compileSeccomp }: BubblewrapOptions): Buffer {
  const { arch } = process;
  if (arch !== "x64" && arch !== "arm64") {
    throw new PaddockError("driver_unavailable", `there is no system call filter for ${arch}`);
  }
  return compile(arch);
}

/** Tells a launcher what all of its sandboxes share. */
export async function configureBubblewrap(launcher: LauncherProcess, setup: Setup): Promise<void> {
  const { bubblewrap, seccomp, retention, removalMs, storage, layout } = setup;
  await configureLauncher(launcher, {
    driver: "bubblewrap",
    home: storage.home,
    retention,
    removalMs,
    bubblewrap: bubblewrap.path,
    parents: layout?.parents ?? [],
    seccomp,
  });
}

async function checkUidPool(home: BubblewrapOptions["home"]): Promise<ProbeFinding> {
  const name = "uids";
  if (ownIdentity().uid !== 0) {
    const hint = "Run as root for a uid of its own per sandbox.";
    return { name, status: "warning", detail: "not root; every sandbox runs under our own uid", hint };
  }
  return { name, status: "ok", detail: `200000 to 265535, one per sandbox, held by locks in ${home.uids}` };
}

async function completeSetup(
  options: BubblewrapOptions,
  bubblewrap: Setup["bubblewrap"],
  seccomp: Buffer,
  launcherFolder: string,
  choice: LimitsChoice,
  storage: HostStorage,
): Promise<Setup> {
  const { home, caBundle } = options;
  const tools = options.nodeTools === undefined ? findNodeTools() : options.nodeTools;
  const python = options.python ?? PYTHON;
  const [base, supervisor, node, bundle] = await Promise.all([
    describeBase(),
    installProgram(home.bin, "supervisor", options.supervisor ?? SUPERVISOR_SOURCE, python),
    tools === null ? undefined : installNode(home.bin, tools.binary, tools.npm),
    caBundle === undefined ? undefined : installCaBundle(home.bin, caBundle),
  ]);
  return {
    bubblewrap,
    python,
    base,
    seccomp,
    launcherFolder,
    supervisor,
    ...(node === undefined ? {} : { node }),
    ...(bundle === undefined ? {} : { caBundle: bundle }),
    limitsMode: choice.mode,
    ...(choice.layout === undefined ? {} : { layout: choice.layout }),
    storage,
    retention: chooseRetention(options),
    removalMs: options.removalMs,
  };
}

/**
 * Probes each mechanism by using it; when none has failed, returns what sandboxes are made with and a running launcher.
 */
export async function inspectHost(options: BubblewrapOptions, onEnded: OnEnded): Promise<Inspection> {
  const path = options.bubblewrap ?? DEFAULT_BUBBLEWRAP;
  const python = options.python ?? PYTHON;
  const isRoot = ownIdentity().uid === 0;
  await prepareHome(options.home);
  const seccomp = compileFilter(options);
  const [bubblewrap, sandboxing, ...others] = await Promise.all([
    checkBubblewrap(path),
    checkSandboxing(path, seccomp, isRoot),
    checkPython(python),
    checkDataFolder(options.home.root, isRoot),
    checkDescriptors(),
    checkUidPool(options.home),
  ]);
  const findings = [checkKernel(), bubblewrap.finding, ...sandboxing, ...others];
  if (hasFailed(findings) || bubblewrap.facts === undefined) return { findings };
  const launcherFolder = await installProgram(options.home.bin, "launcher", LAUNCHER_SOURCE, python);
  const launcher = LauncherProcess.start(python, launcherFolder, onEnded);
  try {
    const choice = await chooseLimits(options, launcher);
    const { finding, storage } = await chooseStorage(options.home, launcher);
    findings.push(choice.finding, finding);
    if (hasFailed(findings)) {
      await launcher.close();
      return { findings };
    }
    const facts = { ...bubblewrap.facts, path };
    const setup = await completeSetup(options, facts, seccomp, launcherFolder, choice, storage);
    await configureBubblewrap(launcher, setup);
    await sweepOldCopies(options.home.bin);
    return { findings, ready: { setup, launcher } };
  } catch (error) {
    await launcher.close();
    throw error;
  }
}
