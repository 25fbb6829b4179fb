import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type App, closeLostTasks, createApp } from "../app.ts";
import { toPaddockError } from "../errors/error.ts";
import { compileLimits } from "../executor/compile.ts";
import { planTask } from "../executor/planner.ts";
import type { Lease } from "../fleet/fleet.ts";
import { WorkspaceFolder } from "../fleet/workspaces/workspace-folder.ts";
import { type AdoptStart, CARD, KeeperCard, type KeeperLine, type KeeperStart, type KeepStart } from "./protocol.ts";
import { KeeperServer, type KeeperTerm } from "./server.ts";
import { pickDriver } from "./spawn.ts";

type Tell = (line: KeeperLine) => void;

interface Kept {
  readonly lease: Lease;
  readonly workspace: WorkspaceFolder | undefined;
  readonly term: KeeperTerm;
}

/** Owns one sandbox until it is killed, its time is over, or `signal` aborts; then nothing of it is left. */
export async function keepSandbox(start: KeeperStart, tell: Tell, signal: AbortSignal): Promise<void> {
  await using app = await createApp();
  try {
    closeLostTasks(app);
    const kept = "adopt" in start ? await adoptKept(app, start, signal) : await makeKept(app, start, tell, signal);
    await using lease = kept.lease;
    const server = new KeeperServer(app, lease, kept.workspace);
    await server.listen(kept.term);
    tell({ ready: lease.sandbox.id });
    await Promise.race([server.ended, aborted(signal)]);
    server.close();
    const [closed] = await Promise.allSettled([lease.close()]);
    await server.settle(closed.status === "rejected" ? closed.reason : undefined);
  } catch (error) {
    const { code, message, hint } = toPaddockError(error);
    tell({ error: { code, message, hint } });
  }
}

/** Where the driver can, the sandbox waits for another keeper when this one dies, but not beyond its time. */
async function makeKept(app: App, start: KeepStart, tell: Tell, signal: AbortSignal): Promise<Kept> {
  const plan = planTask(start.task);
  const workspace = start.workspace === undefined ? undefined : new WorkspaceFolder(app.fleet, start.workspace);
  await app.fleet.start();
  const lease = await app.fleet.lease({
    nodeType: plan.nodeType,
    limits: compileLimits(start.task.limits),
    network: start.task.network ?? plan.network,
    env: start.task.env ?? {},
    bare: start.task.bare ?? plan.bare,
    signal,
    onProgress: (progress) => tell({ progress }),
    survive: app.fleet.survivesOwner ? { graceMs: start.ttl_ms, lifetimeMs: start.ttl_ms } : undefined,
  });
  await workspace?.copyIn(lease, signal);
  const now = Date.now();
  const term = {
    created: new Date(now).toISOString(),
    expires: new Date(now + start.ttl_ms).toISOString(),
    driver: pickDriver(process.env),
    ...(start.workspace === undefined ? {} : { workspace: start.workspace }),
  };
  return { lease, workspace, term };
}

/** The folder is the host's own: no guest writes the card. */
async function adoptKept(app: App, start: AdoptStart, signal: AbortSignal): Promise<Kept> {
  const card = KeeperCard.parse(JSON.parse(readFileSync(join(app.config.home.run, start.adopt, CARD), "utf8")));
  const { created, expires, driver, workspace: folder } = card;
  const workspace = folder === undefined ? undefined : new WorkspaceFolder(app.fleet, folder);
  const lease = await app.fleet.adopt(start.adopt, signal);
  return {
    lease,
    workspace,
    term: { created, expires, driver, ...(folder === undefined ? {} : { workspace: folder }) },
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}
