import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { summarise } from "../../src/compare/stats.ts";
import type { Measured } from "../../src/model/comparison.ts";
import type { Client } from "./client.ts";
import type { Service } from "./serve.ts";

const POINTS = 10;

export interface Burst {
  readonly tasks: number;
  readonly agents: number;
  readonly seconds: number;
  readonly tasksPerSecond: number;
  readonly refusals: number;
  /** Latency of `/health` throughout, with `p99` beside. */
  readonly health: Measured & { readonly p99: number };
  /** Resident memory of the server after each tenth of the tasks, in MiB. */
  readonly rssMib: readonly number[];
}

/** Every agent's share of the tasks posted at once, each waited for. Fails when one does not complete. */
export async function measureBurst(
  client: Client,
  service: Service,
  agents: readonly string[],
  tasks: number,
): Promise<Burst> {
  const worker = new Worker(new URL("./health-worker.ts", import.meta.url), { workerData: service.url });
  const refusalsBefore = client.refusals;
  const rssMib: number[] = [];
  let ended = 0;
  const begun = performance.now();
  const runAll = async (agent: string): Promise<void> => {
    const share = Array.from({ length: tasks / agents.length });
    const posted = await Promise.all(share.map(async () => await client.post(agent)));
    for (const { id } of posted) {
      const { status } = await client.awaitEnd(agent, id);
      if (status !== "completed") throw new Error(`task ${id} ended as ${status}`);
      ended++;
      if (ended % (tasks / POINTS) === 0) rssMib.push(service.readRssMib());
    }
  };
  await Promise.all(agents.map(runAll));
  const seconds = (performance.now() - begun) / 1000;
  worker.postMessage("end");
  const [samples] = (await once(worker, "message")) as [number[]];
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    tasks,
    agents: agents.length,
    seconds,
    tasksPerSecond: tasks / seconds,
    refusals: client.refusals - refusalsBefore,
    health: { ...summarise(samples), p99: sorted[Math.ceil(0.99 * sorted.length) - 1] ?? Number.NaN },
    rssMib,
  };
}
