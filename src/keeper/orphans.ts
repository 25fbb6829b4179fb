import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "../config/home.ts";
import { PaddockError } from "../errors/error.ts";
import { LockFile } from "../lib/lock-file.ts";
import { isAlive } from "../lib/process-identity.ts";
import { isSandboxId, type SandboxId } from "../model/ids.ts";
import { chooseCard, findKept, listCards, listKept } from "./client.ts";
import type { KeeperCard } from "./protocol.ts";
import { spawnKeeper } from "./spawn.ts";

/** A second command waits so long while another one brings the sandbox back. */
const WAIT_MS = 60_000;

/** Cards of kept sandboxes that wait for their next keeper: their time is not over, and their record allows it. */
export function listOrphans(home: Home): readonly KeeperCard[] {
  return listCards(home.run).filter(
    (card) => !isAlive(card.keeper) && Date.parse(card.expires) > Date.now() && isAdoptable(home, card.sandbox_id),
  );
}

/** A kept sandbox by name, brought back by a new keeper where its own has died. Of several commands one does that. */
export async function reachKept(home: Home, entry: string, name: string): Promise<KeeperCard> {
  const { sandbox_id: id } = chooseCard([...listKept(home.run), ...listOrphans(home)], name);
  if (isKept(home, id)) return findKept(home.run, id);
  const signal = AbortSignal.timeout(WAIT_MS);
  using _lock = await LockFile.acquire(join(home.run, id, "adopting.lock"), signal, () => undefined).catch(
    (cause: unknown) => {
      throw new PaddockError("adoption_refused", `sandbox ${id} could not be reached`, { cause });
    },
  );
  if (isKept(home, id)) return findKept(home.run, id);
  const { driver } = chooseCard(listOrphans(home), id);
  await spawnKeeper(home, entry, { adopt: id as SandboxId }, new AbortController().signal, () => undefined, driver);
  return findKept(home.run, id);
}

const isKept = ({ run }: Home, id: string): boolean => listKept(run).some((card) => card.sandbox_id === id);

/** As `owners/<id>` says (docs/ownership.md); the driver checks again, under the lock. */
function isAdoptable({ owners }: Home, id: string): boolean {
  if (!isSandboxId(id)) return false;
  try {
    const { container } = JSON.parse(readFileSync(join(owners, id), "utf8")) as {
      container?: { adoption?: object | null; id?: string | null } | null;
    };
    return container?.adoption != null && container.id != null;
  } catch {
    return false;
  }
}
