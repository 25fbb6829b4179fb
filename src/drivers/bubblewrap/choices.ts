import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { LimitsMode } from "../../model/isolation.ts";
import { DEFAULT_LIMITS } from "../../model/limits.ts";
import type { ProbeFinding } from "../driver.ts";
import { type CgroupTexts, type GroupLayout, listLayouts, makeGroups } from "../host/cgroup-layout.ts";
import type { LauncherProcess } from "../host/launcher-process.ts";
import { ownIdentity } from "../host/storage.ts";
import type { BubblewrapOptions } from "./options.ts";

async function readCgroupTexts(options: BubblewrapOptions): Promise<CgroupTexts> {
  if (options.cgroupTexts !== undefined) return options.cgroupTexts;
  const [mountinfo, membership] = await Promise.all([
    readFile("/proc/self/mountinfo", "utf8"),
    readFile("/proc/self/cgroup", "utf8").catch(() => ""),
  ]);
  return { mountinfo, membership };
}

export interface LimitsChoice {
  readonly finding: ProbeFinding;
  readonly mode: LimitsMode;
  readonly layout?: GroupLayout;
}

const SINGLE_TENANT = "memory, cpu and processes are then limited per process only: the single-tenant tier";

function describeLayout(layout: GroupLayout): string {
  const missing = layout.cpu === undefined ? "; no cpu controller, so cpu is not limited" : "";
  return `${layout.mode} below ${layout.memory}${missing}`;
}

/** The first layout in which a group can really be made, limited and joined. */
export async function chooseLimits(options: BubblewrapOptions, launcher: LauncherProcess): Promise<LimitsChoice> {
  const name = "limits";
  if (options.limits === "rlimit") {
    return { mode: "rlimit", finding: { name, status: "warning", detail: `rlimit, as asked; ${SINGLE_TENANT}` } };
  }
  const isRoot = ownIdentity().uid === 0;
  const reasons: string[] = [];
  for (const layout of listLayouts(await readCgroupTexts(options), isRoot)) {
    const groups = makeGroups(layout, `probe-${randomBytes(6).toString("hex")}`, DEFAULT_LIMITS);
    try {
      await launcher.request("tryGroups", { parents: layout.parents, groups });
      return { mode: layout.mode, layout, finding: { name, status: "ok", detail: describeLayout(layout) } };
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  const reason = reasons[0] ?? "no cgroup with memory and pids controllers is mounted";
  if (isRoot) {
    const hint = "Give Paddock a cgroup it may write to, or accept weaker limits with --limits rlimit.";
    return { mode: "rlimit", finding: { name, status: "failed", detail: reason, hint } };
  }
  const hint = "Run under `systemd-run --user --scope -p Delegate=yes`, or as root, for limits by cgroup.";
  return { mode: "rlimit", finding: { name, status: "warning", detail: `rlimit (${reason}); ${SINGLE_TENANT}`, hint } };
}
