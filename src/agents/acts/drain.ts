import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { SYSTEM } from "../core/markers.ts";
import type { ResponseRun } from "../run/response-run.ts";
import { giveBack } from "./recover.ts";

/** Lets what runs end within the time, and gives back the rest. What waits stays queued for the next process. */
export async function drainAll(
  core: AgentServices,
  roster: LiveAgents,
  graceMs: number,
): Promise<{ finished: number; handedBack: number }> {
  core.isDraining = true;
  const running = await listRuns(roster);
  const waiting = new AbortController();
  const grace = sleep(graceMs, undefined, { signal: AbortSignal.any([waiting.signal, core.closing]) });
  await Promise.race([Promise.all(running.map(({ ended }) => ended)), grace.catch(() => undefined)]);
  waiting.abort();
  const left = await listRuns(roster);
  for (const run of left) await handBack(core, run);
  return { finished: running.length - left.length, handedBack: left.length };
}

/** Ends every sandbox. Agents are asleep then, with their queues as they are. */
export async function closeAll(core: AgentServices, roster: LiveAgents, close: () => void): Promise<void> {
  close();
  for (const run of await listRuns(roster)) await handBack(core, run).catch(() => undefined);
  const stopped = new PaddockError("cancelled", "the server stopped");
  const closing = [...roster].map(async (live) => {
    const asleep = live.sleep({ reason: "server_restart", by: SYSTEM, delaySeconds: 0, cancels: false });
    await Promise.all([asleep, live.interrupt(stopped)]);
  });
  await Promise.allSettled(closing);
}

async function listRuns(roster: LiveAgents): Promise<ResponseRun[]> {
  const runs = await Promise.all([...roster].map(async (live) => await live.current()));
  return runs.filter((run) => run !== undefined);
}

/** The row first: what the run writes afterwards is refused. */
async function handBack(core: AgentServices, run: ResponseRun): Promise<void> {
  await giveBack(core, run.row, run.fence);
  core.logs.changed(run.row.id);
  run.abort(new PaddockError("cancelled", "the server stopped"));
}
