import { sendTask } from "../client/ractor/post.ts";
import type { RactorClient } from "../client/ractor/ractor-client.ts";
import type { Response } from "../client/ractor/reply-schemas.ts";
import { awaitResponse } from "../client/ractor/response-wait.ts";
import { toPaddockError } from "../errors/error.ts";
import type { BenchmarkSample } from "../model/benchmark.ts";
import { WAIT_SECONDS } from "./agent.ts";
import { NO_CALLS, plainText, readFacts } from "./facts.ts";
import type { Chain, Step } from "./workload.ts";

export type SampleName = Pick<BenchmarkSample, "chain" | "recipe" | "node_type" | "run">;

export interface StepPlace {
  readonly client: RactorClient;
  readonly agent: string;
  /** Kinds of explicit work that the server takes; a server that takes any holds looks, too. */
  readonly items: readonly string[];
  readonly stallMs: number;
  readonly signal: AbortSignal;
}

export const nameSample = ({ name, nodeType }: Chain, { recipe }: Step, run: number): SampleName => ({
  chain: name,
  recipe,
  node_type: nodeType,
  run,
});

/** Posts one task and waits for its end. What goes wrong is the sample's failure; throws the signal's reason only. */
export async function runStep(place: StepPlace, step: Step, name: SampleName): Promise<BenchmarkSample> {
  const http = { http_sent_bytes: 0, http_received_bytes: 0 };
  const stop = place.client.observe((request) => {
    http.http_sent_bytes += request.sent_bytes;
    http.http_received_bytes += request.received_bytes;
  });
  const begun = performance.now();
  const startedAt = new Date().toISOString();
  const known = { ...name, agent: place.agent, started_at: startedAt };
  let id: string | null = null;
  try {
    const row = await sendTask(place.client, place.agent, step.content(place.items), { signal: place.signal });
    id = row.id;
    const ended = await awaitResponse(place.client, place.agent, row.id, {
      stallMs: place.stallMs,
      signal: place.signal,
      ...(place.items.length > 0 ? { waitSeconds: WAIT_SECONDS } : {}),
    });
    return { ...known, ...http, response_id: row.id, ...describe(ended, performance.now() - begun) };
  } catch (thrown) {
    place.signal.throwIfAborted();
    const { code, message } = toPaddockError(thrown);
    return {
      ...known,
      ...http,
      response_id: id,
      status: "failed",
      ...NO_CALLS,
      total_ms: round(performance.now() - begun),
      other_ms: null,
      queue_ms: null,
      failure: { code, verdict: null, message: plainText(message) },
    };
  } finally {
    stop();
  }
}

type Described = Omit<
  BenchmarkSample,
  keyof SampleName | "agent" | "started_at" | "response_id" | "http_sent_bytes" | "http_received_bytes"
>;

function describe(ended: Response, durationMs: number): Described {
  const facts = readFacts(ended);
  const { network_ms: network, compute_ms: compute } = facts;
  const rest = network === null || compute === null ? null : durationMs - network - compute;
  return {
    status: facts.failure === null ? "completed" : "failed",
    ...facts,
    total_ms: round(durationMs),
    // Calls that overlap add up to more than the time that passed.
    other_ms: rest === null ? null : Math.max(0, round(rest)),
    queue_ms: queueTime(ended),
  };
}

function queueTime({ queued_at: queued, started_at: started }: Response): number | null {
  return queued == null || started == null ? null : Math.max(0, Date.parse(started) - Date.parse(queued));
}

/** A task that was never posted, because of `failure`. */
export function skipStep(name: SampleName, agent: string | null, failure: BenchmarkSample["failure"]): BenchmarkSample {
  return {
    ...name,
    status: "not_run",
    agent,
    response_id: null,
    started_at: null,
    ...NO_CALLS,
    total_ms: null,
    other_ms: null,
    queue_ms: null,
    http_sent_bytes: 0,
    http_received_bytes: 0,
    failure,
  };
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;
