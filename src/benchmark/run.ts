import { type ClientTimes, RactorClient } from "../client/ractor/ractor-client.ts";
import { removeAgent } from "../client/ractor/remote-agent.ts";
import { PaddockError, toPaddockError } from "../errors/error.ts";
import { BENCHMARK_SCHEMA, type Benchmark, type BenchmarkAgent, type BenchmarkSample } from "../model/benchmark.ts";
import { describeMachine, readLoad } from "../model/machine.ts";
import { nameAgent, openAgent, warmUp } from "./agent.ts";
import { runChain } from "./chain.ts";
import { summariseRecipes } from "./summary.ts";
import { type Chain, downloads } from "./workload.ts";

export interface BenchmarkOptions {
  /** A Ractor server, with or without `/api/v0`. */
  readonly url: string;
  readonly token: string | undefined;
  /** The server was started for this. */
  readonly own: boolean;
  readonly chains: readonly Chain[];
  /** What the result calls the data that chains download. */
  readonly data: string;
  readonly runs: number;
  readonly concurrency: number;
  readonly keepAgents: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
  /** A task that stands still for so long is cancelled and has failed. Default 10 min. */
  readonly stallMs?: number;
  readonly times?: Partial<ClientTimes>;
}

const STALL_MS = 10 * 60_000;
/** Looks are frequent where the server does not hold them, for their interval is part of what is measured. */
const TIMES: Partial<ClientTimes> = { pollMaxMs: 250 };

/**
 * Runs every chain `runs` times against the server, `concurrency` chains at a time. A failed task is a result. Throws
 * when the server cannot be used at all, and `cancelled` when `signal` aborts; every agent is deleted first.
 */
export async function runBenchmark(options: BenchmarkOptions): Promise<Benchmark> {
  const { url, token, chains, runs, concurrency, signal } = options;
  const begun = performance.now();
  const started = new Date();
  const load = readLoad();
  const access = { url, ...(token === undefined ? {} : { token }), times: { ...TIMES, ...options.times } };
  const connect = (): RactorClient => new RactorClient(access);
  try {
    await using client = connect();
    const { version, items } = await client.readVersion(signal);
    await warmUpAll(client, items.length > 0, options);
    const { agents, samples } = await runAll({ ...options, connect, items });
    return {
      schema: BENCHMARK_SCHEMA,
      started_at: started.toISOString(),
      duration_ms: Math.round(performance.now() - begun),
      settings: {
        runs,
        concurrency,
        chains: chains.map(({ name }) => name),
        ...(downloads(chains) ? { data: options.data } : {}),
      },
      server: { url: client.url, version, items: [...items], own: options.own },
      machine: describeMachine(load),
      agents,
      recipes: summariseRecipes(samples),
      samples,
    };
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new PaddockError("cancelled", "the benchmark was cancelled", { cause: error });
  }
}

/**
 * One agent per node type, outside every timer. A warm-up task that fails is only told: the runs will say so
 * themselves.
 */
async function warmUpAll(client: RactorClient, holdsLooks: boolean, options: BenchmarkOptions): Promise<void> {
  const { signal, onProgress } = options;
  for (const nodeType of new Set(options.chains.map((chain) => chain.nodeType))) {
    const name = nameAgent("warm-up", nodeType);
    onProgress(`warm-up: ${nodeType} node`);
    try {
      await openAgent(client, name, nodeType, signal);
      const status = await warmUp(client, name, nodeType, holdsLooks, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        return toPaddockError(error).message;
      });
      if (status !== "completed") onProgress(`warm-up: the ${nodeType} node's task: ${status}`);
    } finally {
      await removeAgent(client, name);
    }
  }
}

interface Measured {
  readonly agents: BenchmarkAgent[];
  readonly samples: BenchmarkSample[];
}

/**
 * Run by run, so that what changes on the machine over time meets all chains alike. Every chain has ended when this
 * returns or throws.
 */
async function runAll(
  options: BenchmarkOptions & { readonly connect: () => RactorClient; readonly items: readonly string[] },
): Promise<Measured> {
  const { chains, runs, concurrency, onProgress } = options;
  const waiting = Array.from({ length: runs }, (_, index) => chains.map((chain) => ({ chain, run: index + 1 }))).flat();
  const total = runs * chains.reduce((sum, { steps }) => sum + steps.length, 0);
  const samples: BenchmarkSample[] = [];
  const agents: BenchmarkAgent[] = [];
  const onSample = (sample: BenchmarkSample): void => {
    samples.push(sample);
    onProgress(`${samples.length}/${total} ${describeSample(sample)}`);
  };
  const work = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      options.signal.throwIfAborted();
      const agent = await runChain({
        ...options,
        ...job,
        stallMs: options.stallMs ?? STALL_MS,
        keepAgent: options.keepAgents,
        onSample,
      });
      if (agent !== undefined) agents.push(agent);
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: concurrency }, work));
  const broken = ended.find((one) => one.status === "rejected");
  if (broken !== undefined) throw broken.reason;
  return { agents: agents.toSorted(inOrder(chains)), samples: samples.toSorted(inOrder(chains)) };
}

/** By chain, then run; the steps of one run stay in their order. */
const inOrder =
  (chains: readonly Chain[]) =>
  (one: Pick<BenchmarkSample, "chain" | "run">, other: Pick<BenchmarkSample, "chain" | "run">): number => {
    const place = ({ chain }: Pick<BenchmarkSample, "chain">): number => chains.findIndex(({ name }) => name === chain);
    return place(one) - place(other) || one.run - other.run;
  };

function describeSample({ chain, run, recipe, status, total_ms, failure }: BenchmarkSample): string {
  const code = failure?.code === status ? "" : `${failure?.code}: `;
  const how = failure === null ? `${Math.round(total_ms ?? 0)} ms` : `${code}${failure.message}`;
  return `${chain} run ${run}: ${recipe} ${status}, ${how}`;
}
