import type { Home } from "../../config/home.ts";
import { PaddockError } from "../../errors/error.ts";
import { identifyProcess } from "../../lib/process-identity.ts";
import { DEFAULT_RETENTION, type Retention } from "../../model/limits.ts";
import type { ReapReport } from "../driver.ts";
import type { GroupParent } from "./launch.ts";
import type { LauncherProcess } from "./launcher-process.ts";

/** Disk that creates leave free: 256 MiB for the host and 16 MiB for the metadata of volumes. */
const MIN_FREE_BYTES = 272 * 1024 * 1024;

/**
 * How long a removal is tried before it has failed: longer than the kernel takes to let go of what a killed process
 * held.
 */
const REMOVAL_MS = 10_000;

export function chooseRetention(options: {
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
}): Retention {
  return {
    ageMs: options.retentionMs ?? DEFAULT_RETENTION.ageMs,
    bytes: options.retentionBytes ?? DEFAULT_RETENTION.bytes,
  };
}

/** What all sandboxes of one launcher share. */
export interface LauncherConfiguration {
  readonly driver: string;
  readonly home: Home;
  readonly retention: Retention;
  readonly removalMs?: number | undefined;
  /** The rest is for launchers that make sandboxes themselves. */
  readonly bubblewrap?: string;
  readonly parents?: readonly GroupParent[];
  readonly seccomp?: Buffer;
}

export async function configureLauncher(
  launcher: LauncherProcess,
  configuration: LauncherConfiguration,
): Promise<void> {
  const { driver, home, retention, removalMs, bubblewrap, parents, seccomp } = configuration;
  const { workspaces, run, owners, uids } = home;
  await launcher.request("configure", {
    driver,
    bubblewrap: bubblewrap ?? "",
    rooms: { workspaces, run, owners, uids },
    parents: parents ?? [],
    seccomp: seccomp?.toString("hex") ?? "",
    minFreeBytes: MIN_FREE_BYTES,
    retention,
    removalMs: removalMs ?? REMOVAL_MS,
    owner: describeOwner(),
  });
}

/** The process that records name as the owner. */
function describeOwner(): { readonly pid: number; readonly start: number } {
  const self = identifyProcess(process.pid);
  if (self === undefined) throw new PaddockError("internal", "/proc does not show this process");
  return { pid: self.pid, start: Number(self.startTicks) };
}

export async function reapWith(launcher: LauncherProcess): Promise<ReapReport> {
  const reply = await launcher.request("reap", {});
  const failed = reply["failed"] as readonly (readonly [string, string])[];
  return {
    reaped: reply["reaped"] as readonly string[],
    failed: failed.map(([id, detail]) => ({ id, detail })),
  };
}
