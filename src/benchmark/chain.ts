import type { RactorClient } from "../client/ractor/ractor-client.ts";
import { removeAgent } from "../client/ractor/remote-agent.ts";
import { toPaddockError } from "../errors/error.ts";
import type { BenchmarkAgent, BenchmarkSample } from "../model/benchmark.ts";
import { nameAgent, openAgent } from "./agent.ts";
import { plainText } from "./facts.ts";
import { nameSample, runStep, skipStep } from "./step.ts";
import type { Chain } from "./workload.ts";

export interface ChainRun {
  readonly chain: Chain;
  /** From 1. */
  readonly run: number;
  /** A client of its own, so that its requests are this run's. */
  readonly connect: () => RactorClient;
  readonly items: readonly string[];
  readonly stallMs: number;
  readonly keepAgent: boolean;
  readonly signal: AbortSignal;
  readonly onSample: (sample: BenchmarkSample) => void;
  readonly onProgress: (text: string) => void;
}

/**
 * One chain in an agent of its own, so that no run sees another one's files. After a task that failed, the rest is
 * `not_run`. Throws the signal's reason only; the agent is deleted then, too.
 */
export async function runChain(job: ChainRun): Promise<BenchmarkAgent | undefined> {
  const { chain, run, items, stallMs, signal } = job;
  const name = nameAgent(`${chain.name}-${run}`, chain.nodeType);
  await using client = job.connect();
  let isMade = false;
  const onMade = (): void => {
    isMade = true;
  };
  try {
    const readyMs = await open(job, client, name, onMade);
    if (readyMs === undefined) return undefined;
    const place = { client, agent: name, items, stallMs, signal };
    let failed: string | undefined;
    for (const step of chain.steps) {
      const labels = nameSample(chain, step, run);
      const sample =
        failed === undefined
          ? await runStep(place, step, labels)
          : skipStep(labels, name, { code: "not_run", verdict: null, message: `${failed} failed before it` });
      if (sample.status === "failed") failed = step.recipe;
      job.onSample(sample);
    }
    return { chain: chain.name, run, node_type: chain.nodeType, name, ready_ms: Math.round(readyMs * 1000) / 1000 };
  } finally {
    if (isMade) await leave(job, client, name);
  }
}

/** Milliseconds until the agent was ready; undefined when there is none, which fails all its tasks. */
async function open(
  { chain, run, signal, onSample }: ChainRun,
  client: RactorClient,
  name: string,
  onMade: () => void,
): Promise<number | undefined> {
  try {
    return await openAgent(client, name, chain.nodeType, signal, onMade);
  } catch (thrown) {
    signal.throwIfAborted();
    const { code, message } = toPaddockError(thrown);
    const failure = { code, verdict: null, message: plainText(message) };
    for (const step of chain.steps) onSample(skipStep(nameSample(chain, step, run), null, failure));
    return undefined;
  }
}

/** Deletes the agent also when nobody knows whether it was made. */
async function leave({ keepAgent, signal, onProgress }: ChainRun, client: RactorClient, name: string): Promise<void> {
  if (keepAgent && !signal.aborted) onProgress(`kept agent ${name}`);
  else if (!(await removeAgent(client, name)))
    onProgress(`agent ${name} could not be deleted: delete it on the server`);
}
