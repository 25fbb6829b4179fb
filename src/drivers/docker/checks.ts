import { PaddockError, toPaddockError } from "../../errors/error.ts";
import type { Owe } from "../../lib/owe.ts";
import type { Driver, ProbeFinding } from "../driver.ts";
import { tryWholeSandbox } from "../host/trial.ts";
import type { Engine } from "./engine/engine.ts";
import type { EngineFacts } from "./engine/facts.ts";
import { type ChosenRuntime, readFlag, readGvisorVersion } from "./runtime.ts";
import { BASE_IMAGE, type Setup } from "./setup.ts";

/** Releases with the fixes of CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881, per minor version. */
const FIXED_RUNC: readonly (readonly [number, number, number])[] = [
  [1, 2, 8],
  [1, 3, 3],
  [1, 4, 0],
];
/** Older builds of gVisor know the platforms ptrace and KVM only, and lack `--host-uds=open`. */
const OLDEST_GVISOR = 2024;

function checkEngine({ facts, address, tried }: Engine, isLocal: boolean): ProbeFinding[] {
  const place = isLocal
    ? "sees this machine's files (tried)"
    : "does not see this machine's files: the channel goes over standard streams";
  const skipped = tried.length === 0 ? "" : `; no answer from ${tried.map(({ endpoint }) => endpoint).join(", ")}`;
  const detail = `${facts.name} ${facts.version}, API ${facts.apiVersion}, at ${address}; ${place}${skipped}`;
  return [
    { name: "engine", status: "ok", detail },
    { name: "storage driver", status: "ok", detail: facts.storageDriver },
  ];
}

function checkCgroups({ cgroupVersion, cgroupDriver, rootless }: EngineFacts): ProbeFinding {
  const name = "cgroups";
  const detail = `version ${cgroupVersion}, driver ${cgroupDriver}`;
  if (cgroupDriver !== "none") return { name, status: "ok", detail };
  const hint = rootless
    ? "A rootless engine needs cgroup v2 and systemd with delegated controllers."
    : "Let the engine manage cgroups (`cgroupdriver`).";
  return { name, status: "failed", detail: `${detail}: the engine holds no limit`, hint };
}

function checkSeccomp({ seccomp }: EngineFacts, runtime: ChosenRuntime): ProbeFinding {
  const name = "seccomp";
  if (!seccomp) {
    const hint = "Use an engine that is built with seccomp, on a kernel with CONFIG_SECCOMP_FILTER.";
    return { name, status: "failed", detail: "the engine cannot apply a filter of system calls", hint };
  }
  if (runtime.appliesSeccomp)
    return { name, status: "ok", detail: "our own profile, from the rules of the BPF filter" };
  const hint = "Add --oci-seccomp to the runtime's runtimeArgs in daemon.json.";
  const detail = "this runtime ignores profiles: gVisor's kernel stands alone between guest and host";
  return { name, status: "warning", detail, hint };
}

function checkLiveRestore({ name: engine, liveRestore }: EngineFacts): ProbeFinding {
  const name = "live-restore";
  if (liveRestore || engine === "Podman")
    return { name, status: "ok", detail: "sandboxes outlive a restart of the engine" };
  const hint = 'Set "live-restore": true in daemon.json and reload the engine.';
  return { name, status: "warning", detail: "off: a restart of the engine ends all sandboxes", hint };
}

const compare = (left: readonly number[], right: readonly number[]): number =>
  left.map((part, index) => part - (right[index] ?? 0)).find((difference) => difference !== 0) ?? 0;

/** Whether this runc has the fixes of November 2025. */
export function isFixedRunc(version: string): boolean {
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
  if (parts === undefined) return false;
  const sameMinor = FIXED_RUNC.find(([major, minor]) => major === parts[0] && minor === parts[1]);
  return compare(parts, sameMinor ?? [1, 4, 0]) >= 0;
}

function checkRunc({ runcVersion }: EngineFacts): ProbeFinding {
  const name = "runtime";
  if (runcVersion !== undefined && isFixedRunc(runcVersion))
    return { name, status: "ok", detail: `runc ${runcVersion}` };
  const detail = `runc ${runcVersion ?? "of unknown version"} has CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881 unless the distribution mended them; Paddock starts its own images only, as another uid than root, and never enters a running container`;
  return { name, status: "warning", detail, hint: "Install runc 1.2.8, 1.3.3, 1.4.0 or newer." };
}

/** Year of `release-20221219.0`; undefined for builds that carry no date. */
const readYear = (version: string | undefined): number | undefined => {
  const year = /^release-(\d{4})\d{4}/.exec(version ?? "")?.[1];
  return year === undefined ? undefined : Number(year);
};

async function checkGvisor(runtime: ChosenRuntime, isLocal: boolean): Promise<ProbeFinding[]> {
  const name = "runtime";
  const version = isLocal && runtime.path !== undefined ? await readGvisorVersion(runtime.path) : undefined;
  const year = readYear(version);
  const platform = readFlag(runtime.arguments, "platform") ?? "systrap (its default)";
  const detail = `runsc ${version ?? "(version unknown: it is not on this machine)"}, platform ${platform}`;
  if (year !== undefined && year < OLDEST_GVISOR) {
    const hint = "`bash scripts/setup.sh --gvisor` finds or builds a current one and says how to register it.";
    return [
      { name, status: "failed", detail: `${detail}: of ${year}, with neither systrap nor sockets of the host`, hint },
    ];
  }
  const network = readFlag(runtime.arguments, "network");
  const channel = runtime.dialsHost
    ? "sandboxes dial the host's socket (--host-uds=open)"
    : "without --host-uds=open: the channel goes over standard streams, and sandboxes end with their owner";
  const findings: ProbeFinding[] = [
    { name, status: "ok", detail },
    { name: "channel", status: "ok", detail: channel },
    isLocal
      ? { name: "devices", status: "ok", detail: "FUSE and tunnels of its kernel are hidden" }
      : {
          name: "devices",
          status: "warning",
          detail: "guests can open /dev/fuse of gVisor's kernel: nothing of this machine can be laid over it",
          hint: "Use an engine on this machine.",
        },
  ];
  if (network !== "host") return findings;
  const hint = "Use --network=none or --network=sandbox in the runtime's runtimeArgs.";
  return [
    ...findings,
    { name: "network", status: "failed", detail: "--network=host lets guests use the host's network stack", hint },
  ];
}

function checkUsers({ engine, holder, isLocal }: Setup): ProbeFinding[] {
  const { rootless, userNamespace } = engine.facts;
  const findings = [...holder.findings];
  if (rootless) {
    const hint = "Use the system's engine for a uid of its own per sandbox.";
    findings.push({
      name: "uids",
      status: "warning",
      detail: "rootless engine: every sandbox runs under our own uid",
      hint,
    });
  }
  if (userNamespace) {
    const hint = "Turn userns-remap off: sandboxes have unprivileged uids of their own, which it would map away.";
    findings.push({ name: "uids", status: "failed", detail: "the engine maps users (userns-remap)", hint });
  }
  if (!isLocal) {
    const detail = "workspaces are tmpfs and count as memory: no disk of ours is there";
    findings.push({
      name: "workspaces",
      status: "warning",
      detail,
      hint: "Use an engine on this machine for fixed-size disks.",
    });
  }
  return findings;
}

/** A whole sandbox, where there is an image to make one from. */
async function tryImage(driver: Driver, { engine, options }: Setup, owe: Owe): Promise<ProbeFinding> {
  if ((await engine.inspectImage(BASE_IMAGE)) !== undefined) return tryWholeSandbox(driver, options.home, owe);
  const hint = "`paddock images build` builds the images; the first run does it too.";
  return { name: "images", status: "warning", detail: "no base image yet, so no whole sandbox was tried", hint };
}

/** All but a whole sandbox. */
async function checkMechanisms(setup: Setup): Promise<ProbeFinding[]> {
  const { engine, runtime, isLocal } = setup;
  const facts = await engine.askFacts();
  return [
    ...checkEngine(engine, isLocal),
    checkCgroups(facts),
    checkSeccomp(facts, runtime),
    checkLiveRestore(facts),
    ...(runtime.kind === "gvisor" ? await checkGvisor(runtime, isLocal) : [checkRunc(facts)]),
    ...checkUsers(setup),
  ];
}

const findFailed = (findings: readonly ProbeFinding[]): ProbeFinding | undefined =>
  findings.find(({ status }) => status === "failed");

/** Throws `driver_unavailable` with the first finding that has failed. */
export async function assertUsable(setup: Setup): Promise<void> {
  const findings = await checkMechanisms(setup);
  const failed = findFailed(findings);
  if (failed === undefined) return;
  throw new PaddockError("driver_unavailable", `docker: ${failed.name}: ${failed.detail}`, {
    ...(failed.hint === undefined ? {} : { hint: failed.hint }),
    context: { findings },
  });
}

/** Every mechanism, by using it where the engine's word is not enough. */
export async function checkSetup(driver: Driver, setup: Setup, owe: Owe): Promise<readonly ProbeFinding[]> {
  const findings = await checkMechanisms(setup);
  return findFailed(findings) === undefined ? [...findings, await tryImage(driver, setup, owe)] : findings;
}

/** What hindered the driver from starting: the findings that refused it, else the error itself. */
export function explainOpening(error: unknown): readonly ProbeFinding[] {
  const { message, hint, code, context } = toPaddockError(error);
  const findings = context["findings"];
  if (Array.isArray(findings)) return findings as ProbeFinding[];
  return [
    { name: code === "engine_unavailable" ? "engine" : "docker driver", status: "failed", detail: message, hint },
  ];
}
