import { summarise } from "../../src/compare/stats.ts";
import type { Measured } from "../../src/model/comparison.ts";
import type { Client } from "./client.ts";

const WARM_UP = 5;

export interface Row {
  readonly name: string;
  readonly timed: string;
  /** On the p50, in milliseconds. */
  readonly budgetMs?: number;
  readonly measured: Measured;
}

/**
 * How long from the POST of a trivial task until its client knows that it has ended, in each way a client can learn it;
 * one of each in turn.
 */
export async function measureLatency(client: Client, agent: string, n: number): Promise<readonly Row[]> {
  const ways = [
    { name: "events", run: () => client.runWithEvents(agent), timed: "POST, GET events, until `done`", budgetMs: 40 },
    { name: "wait", run: () => client.runWithWait(agent), timed: "POST, GET ?wait=60, answer read", budgetMs: 40 },
    { name: "background: false", run: () => client.runBlocking(agent), timed: "POST, answer read" },
    { name: "polling", run: () => client.runPolling(agent), timed: "POST, GET every 50 ms until ended" },
  ].map((way) => ({ ...way, samples: [] as number[] }));
  for (let i = 0; i < n + WARM_UP; i++) {
    for (const { name, run, samples } of ways) {
      const begun = performance.now();
      const status = await run();
      const elapsed = performance.now() - begun;
      if (status !== "completed") throw new Error(`${name}: the task ended as ${status}`);
      if (i >= WARM_UP) samples.push(elapsed);
    }
  }
  return ways.map(({ name, timed, budgetMs, samples }) => ({
    name,
    timed,
    ...(budgetMs === undefined ? {} : { budgetMs }),
    measured: summarise(samples),
  }));
}

/** Making an agent, and waking one, until it is idle. Looks every 2 ms. */
export async function measureAgents(client: Client, n: number): Promise<readonly Row[]> {
  const create: number[] = [];
  const wake: number[] = [];
  for (let i = 0; i < n + 1; i++) {
    const name = `bench-create-${i}`;
    const made = await time(async () => {
      await client.createAgent(name);
      await client.awaitState(name, "idle");
    });
    await client.sleepAgent(name);
    await client.awaitState(name, "slept");
    const woken = await time(async () => {
      await client.wakeAgent(name);
      await client.awaitState(name, "idle");
    });
    await client.removeAgent(name);
    if (i === 0) continue;
    create.push(made);
    wake.push(woken);
  }
  return [
    { name: "create an agent", timed: "POST until `idle`", measured: summarise(create) },
    { name: "wake an agent", timed: "POST wake until `idle`", measured: summarise(wake) },
  ];
}

async function time(act: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await act();
  return performance.now() - begun;
}
