import { toPaddockError } from "../errors/error.ts";
import type { Lease } from "../fleet/fleet.ts";
import type { NodeType } from "../model/node-type.ts";
import type { PlainContainer, PlainEngine } from "./plain.ts";
import {
  sampleCommand,
  sampleIdleMemory,
  sampleJavascript,
  sampleLife,
  samplePlainExec,
  samplePlainRun,
  samplePlainSpawn,
  samplePython,
  sampleTransfer,
} from "./samplers.ts";
import type { Sampler, Samples } from "./samples.ts";
import type { Subject } from "./subject.ts";

/** The subject under which samples stand that belong to the host and to no tier. */
export const HOST = "";

const WARM_UP = 3;
const MAX_TRANSFERS = 10;
const MAX_IDLE = 3;

export interface StageParts {
  readonly subjects: readonly Subject[];
  readonly samples: Samples;
  readonly n: number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/** Takes all samples: life cycles, then warm calls, transfers and idle memory. Throws the signal's reason only. */
export async function measureAll(parts: StageParts, engine: PlainEngine | undefined): Promise<void> {
  const { subjects, samples, n, signal } = parts;
  const plain = await startPlains(parts, engine);
  const runs = plain.map(([subject, container]) => samplePlainRun(subject, container));
  await runStage(parts, "life cycles", [samplePlainSpawn(HOST), ...subjects.map(sampleLife), ...runs], n, WARM_UP);
  const warm = await makeWarmSamplers(parts);
  const execs = plain.map(([subject, container]) => samplePlainExec(subject, container));
  await runStage(parts, "warm calls", [...warm, ...execs], n, WARM_UP);
  await runStage(parts, "transfers", subjects.map(sampleTransfer), Math.min(n, MAX_TRANSFERS), 1);
  // Sandboxes of one kind share pages, and PSS divides those by their number: each is measured while no other of ours
  // lives.
  for (const subject of subjects) await subject.closeNodes();
  const idle = subjects.map((subject) => sampleIdleMemory(subject, signal));
  await runStage(parts, "idle memory", idle, Math.min(n, MAX_IDLE), 0);
  for (const subject of subjects) {
    if (subject.tier.driver !== "docker") samples.miss(subject.tier.name, ["plain_run", "plain_exec"], "no containers");
  }
}

async function runStage(
  { samples, signal, onProgress }: StageParts,
  name: string,
  samplers: readonly Sampler[],
  n: number,
  warmUp: number,
): Promise<void> {
  onProgress(`${name}: ${n} rounds of ${samplers.length} samples`);
  await samples.run({ samplers, n, warmUp: Math.min(warmUp, n), signal });
}

async function startPlains(
  { subjects, samples, signal }: StageParts,
  engine: PlainEngine | undefined,
): Promise<(readonly [Subject, PlainContainer])[]> {
  const started: (readonly [Subject, PlainContainer])[] = [];
  for (const subject of subjects.filter(({ tier }) => tier.driver === "docker")) {
    try {
      if (engine === undefined) throw new Error("there is no docker command, and the engine is on no local socket");
      started.push([subject, await subject.startPlain(engine)]);
    } catch (error) {
      signal.throwIfAborted();
      samples.miss(subject.tier.name, ["plain_run", "plain_exec"], toPaddockError(error).message);
    }
  }
  return started;
}

/** Per row over all tiers, so that the tiers' samples of one row lie side by side in time. */
async function makeWarmSamplers(parts: StageParts): Promise<Sampler[]> {
  const python = await leaseNodes(parts, "python");
  const javascript = await leaseNodes(parts, "javascript");
  return [
    ...parts.subjects.map((subject) => sampleCommand(subject, parts.signal)),
    ...python.map(([subject, lease]) => samplePython(subject, lease, parts.signal)),
    ...javascript.map(([subject, lease]) => sampleJavascript(subject, lease, parts.signal)),
  ];
}

/** A node that cannot be had costs its own row and no other. */
async function leaseNodes(
  { subjects, samples, signal }: StageParts,
  nodeType: NodeType & ("python" | "javascript"),
): Promise<(readonly [Subject, Lease])[]> {
  const leased: (readonly [Subject, Lease])[] = [];
  for (const subject of subjects) {
    try {
      leased.push([subject, await subject.leaseNode(nodeType)]);
    } catch (error) {
      signal.throwIfAborted();
      samples.miss(subject.tier.name, [nodeType], toPaddockError(error).message);
    }
  }
  return leased;
}
