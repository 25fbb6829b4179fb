import { PaddockError, toPaddockError } from "../errors/error.ts";
import type { Comparison, UnavailableTier } from "../model/comparison.ts";
import { describeMachine, readLoad } from "../model/machine.ts";
import { describeTier, describeUnavailable } from "./facts.ts";
import type { PlainEngine } from "./plain.ts";
import { makeApiEngine } from "./plain-api.ts";
import { findDockerCli, makeCliEngine } from "./plain-cli.ts";
import { Samples } from "./samples.ts";
import { HOST, measureAll } from "./stages.ts";
import { Subject } from "./subject.ts";
import { KNOWN_TIERS, makeTier, type Tier } from "./tier.ts";

export interface CompareOptions {
  /** Default: the known tiers, and a tier for each other runtime that the engine offers. */
  readonly tiers?: readonly Tier[];
  /** Samples of each row; slow rows take fewer (10 transfers, 3 idle sandboxes). */
  readonly n: number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Runs one workload on every tier in turn. A tier that cannot be used stands in the result with the reason. Throws
 * `cancelled` when `signal` aborts; nothing of it is left then.
 */
export async function compareTiers(options: CompareOptions): Promise<Comparison> {
  const begun = performance.now();
  const started = new Date();
  const loadBefore = readLoad();
  const engine = openPlainEngine(options.env);
  const tiers = options.tiers ?? (await discoverTiers(engine));
  try {
    const described = await measureTiers(tiers, engine, options);
    return {
      machine: describeMachine(loadBefore),
      started_at: started.toISOString(),
      duration_ms: Math.round(performance.now() - begun),
      ...described,
    };
  } catch (error) {
    if (!options.signal.aborted) throw error;
    throw new PaddockError("cancelled", "the comparison was cancelled", { cause: error });
  }
}

type Measured = Pick<Comparison, "tiers" | "plain_spawn" | "plain_via">;

async function measureTiers(
  tiers: readonly Tier[],
  engine: PlainEngine | undefined,
  { n, ...options }: CompareOptions,
): Promise<Measured> {
  await using opened = new AsyncDisposableStack();
  const subjects = new Map<Tier, Subject | UnavailableTier>();
  for (const tier of tiers) {
    options.signal.throwIfAborted();
    options.onProgress(`opening ${tier.name}`);
    subjects.set(tier, await openSubject(tier, options, opened));
  }
  const usable = [...subjects.values()].filter((subject) => subject instanceof Subject);
  const samples = new Samples();
  if (usable.length > 0) await measureAll({ subjects: usable, samples, n, ...options }, engine);
  const spawn = samples.measure(HOST, "plain_spawn");
  const hasPlain = usable.some(({ tier }) => {
    const measure = samples.measure(tier.name, "plain_run");
    return measure !== undefined && "p50" in measure;
  });
  return {
    tiers: [...subjects.values()].map((subject) =>
      subject instanceof Subject ? describeTier(subject, samples) : subject,
    ),
    ...(spawn === undefined || "missing" in spawn ? {} : { plain_spawn: spawn }),
    ...(hasPlain && engine !== undefined ? { plain_via: engine.via } : {}),
  };
}

async function openSubject(
  tier: Tier,
  options: Omit<CompareOptions, "n">,
  opened: AsyncDisposableStack,
): Promise<Subject | UnavailableTier> {
  try {
    return opened.use(await Subject.open(tier, options));
  } catch (error) {
    options.signal.throwIfAborted();
    return describeUnavailable(tier, toPaddockError(error));
  }
}

function openPlainEngine(env: NodeJS.ProcessEnv): PlainEngine | undefined {
  const docker = findDockerCli(env);
  return docker === undefined ? makeApiEngine(env) : makeCliEngine(docker, env);
}

/**
 * Every known tier, usable or not, and what else the engine offers. `io.containerd.*` are other names of its default.
 */
async function discoverTiers(engine: PlainEngine | undefined): Promise<readonly Tier[]> {
  const runtimes = await engine?.listRuntimes().catch(() => []);
  const others = (runtimes ?? [])
    .filter((name) => !name.startsWith("io.containerd."))
    .map((name) => makeTier("docker", name))
    .filter(({ name }) => !KNOWN_TIERS.some((known) => known.name === name));
  return [...KNOWN_TIERS, ...others];
}
