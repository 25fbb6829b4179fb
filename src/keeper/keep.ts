import { closeLostTasks, createApp } from "../app.ts";
import { toPaddockError } from "../errors/error.ts";
import { compileLimits } from "../executor/compile.ts";
import { planTask } from "../executor/planner.ts";
import { WorkspaceFolder } from "../fleet/workspace-folder.ts";
import type { KeeperLine, KeeperStart } from "./protocol.ts";
import { KeeperServer } from "./server.ts";

/** Owns one sandbox from creation until it is killed, its time is over, or `signal` aborts; then nothing of it is left. */
export async function keepSandbox(
  start: KeeperStart,
  tell: (line: KeeperLine) => void,
  signal: AbortSignal,
): Promise<void> {
  await using app = await createApp();
  try {
    closeLostTasks(app);
    const plan = planTask(start.task);
    const workspace = start.workspace === undefined ? undefined : new WorkspaceFolder(app.fleet, start.workspace);
    await using lease = await app.fleet.lease({
      nodeType: plan.nodeType,
      limits: compileLimits(start.task.limits),
      network: start.task.network ?? plan.network,
      env: start.task.env ?? {},
      bare: start.task.bare ?? plan.bare,
      signal,
      onProgress: (progress) => tell({ progress }),
    });
    await workspace?.copyIn(lease, signal);
    const server = new KeeperServer(app, lease, workspace);
    await server.listen(app.config.home.run, start.ttl_ms);
    tell({ ready: lease.sandbox.id });
    await Promise.race([server.ended, aborted(signal)]);
    server.close();
    await lease.close();
    await server.settle();
  } catch (error) {
    const { code, message, hint } = toPaddockError(error);
    tell({ error: { code, message, hint } });
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}
