import type { ReapReport } from "../driver.ts";
import type { Holder } from "../host/holder.ts";
import type { Engine, ListedObject } from "./engine/engine.ts";
import { LABEL } from "./engine/labels.ts";

interface Sweep {
  /** Younger objects are left alone: an engine whose answer never came may just have made them. */
  readonly graceMs: number;
  readonly engine: Engine;
  readonly holder: Holder;
  readonly fleet: string;
}

async function removeListed(
  listed: readonly ListedObject[],
  isStray: (object: ListedObject) => boolean,
  remove: (id: string) => Promise<boolean>,
): Promise<ReapReport> {
  const reaped: string[] = [];
  const failed: { id: string; detail: string }[] = [];
  for (const { id, labels } of listed.filter(isStray)) {
    const sandbox = labels[LABEL.sandbox] ?? id;
    try {
      if (await remove(id)) reaped.push(sandbox);
    } catch (error) {
      failed.push({ id: sandbox, detail: error instanceof Error ? error.message : String(error) });
    }
  }
  return { reaped, failed };
}

/**
 * Removes containers and volumes that carry this data folder's label and belong to no owner record. A record is written
 * before its container is asked for and removed after it is gone, so what lacks one is nobody's. Owners are read after
 * the lists, for the same reason.
 */
export async function sweepByLabel({ engine, holder, fleet, graceMs }: Sweep): Promise<ReapReport> {
  const label = { [LABEL.fleet]: fleet };
  const [containers, volumes] = await Promise.all([engine.listContainers(label), engine.listVolumes(label)]);
  if (containers.length + volumes.length === 0) return { reaped: [], failed: [] };
  const owners: ReadonlySet<string> = await holder.listOwners();
  const isStray = ({ labels, createdAt }: ListedObject): boolean =>
    !owners.has(labels[LABEL.sandbox] ?? "") && Date.now() - createdAt >= graceMs;
  const first = await removeListed(containers, isStray, (id) => engine.removeContainer(id));
  const second = await removeListed(volumes, isStray, (name) => engine.removeVolume(name));
  return { reaped: [...new Set([...first.reaped, ...second.reaped])], failed: [...first.failed, ...second.failed] };
}
