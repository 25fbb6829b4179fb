import { setTimeout as sleep } from "node:timers/promises";
import { Registry } from "prom-client";
import { PaddockError } from "../errors/error.ts";
import { NODE_TYPES } from "../model/node-type.ts";
import type { ToolCallRecord } from "../model/record.ts";
import { RESPONSE_STATUSES } from "../model/response.ts";
import { VERDICTS } from "../model/verdict.ts";
import { type Instruments, makeInstruments } from "./instruments.ts";
import { LabelValues } from "./labels.ts";
import { registerProcessMetrics } from "./process-metrics.ts";
import type { TelemetryEvent } from "./telemetry.ts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/** The state has this long to answer a scrape. */
const GAUGES_MS = 2000;

/** What is counted when `/metrics` is read, not when it happens. */
export interface ServiceGauges {
  readonly agents: Readonly<Record<string, number>>;
  readonly pending: number;
  readonly processing: number;
  readonly sandboxes: number;
}

export interface MetricsOptions {
  readonly version: string;
  readonly gauges: () => Promise<ServiceGauges>;
  /** Log lines and spans that were dropped so far, and spans whose export failed. */
  readonly losses: () => { readonly logLines: number; readonly spansDropped: number; readonly spansFailed: number };
  readonly onProblem: (where: string, error: unknown) => void;
}

/** Prometheus metrics over a registry of their own. Labels are bounded: no agent, principal, id or raw path is one. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #options: MetricsOptions;
  readonly #instruments: Instruments;
  readonly #labels = {
    method: new LabelValues(METHODS.length, METHODS),
    route: new LabelValues(200),
    statusClass: new LabelValues(5, ["1xx", "2xx", "3xx", "4xx", "5xx"]),
    nodeType: new LabelValues(NODE_TYPES.length, NODE_TYPES),
    status: new LabelValues(RESPONSE_STATUSES.length, RESPONSE_STATUSES),
    operation: new LabelValues(64),
    verdict: new LabelValues(VERDICTS.length, VERDICTS),
    state: new LabelValues(16),
    where: new LabelValues(64),
    code: new LabelValues(100),
  };
  #reading: Promise<string> | undefined;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#instruments = makeInstruments(this.#registry);
    registerProcessMetrics(this.#registry, options.version);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /**
   * The exposition text. Readers that come while one is being served get the same text, so that they cost one look at
   * the state.
   */
  async text(): Promise<string> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  record(event: TelemetryEvent): void {
    switch (event.op) {
      case "http.request": {
        const route = this.#labels.route.admit(event.route);
        const status = this.#labels.statusClass.admit(`${Math.floor(event.status / 100)}xx`);
        this.#instruments.httpRequests.inc({ method: this.#labels.method.admit(event.method), route, status });
        this.#instruments.httpSeconds.observe({ route, status }, seconds(event.durationMs));
        return;
      }
      case "task.run": {
        const nodeType = this.#labels.nodeType.admit(event.nodeType);
        this.#instruments.tasks.inc({ node_type: nodeType, status: this.#labels.status.admit(event.status) });
        this.#instruments.taskSeconds.observe({ node_type: nodeType }, seconds(event.durationMs));
        const queueMs = event.phasesMs["queue"];
        if (queueMs !== undefined) this.#instruments.queueSeconds.observe({ node_type: nodeType }, seconds(queueMs));
        return;
      }
      case "call.run":
        this.#recordCall(event.record);
        return;
      case "agent.change":
        this.#instruments.agentChanges.inc({
          from: this.#labels.state.admit(event.from),
          to: this.#labels.state.admit(event.to),
        });
        return;
      case "server.change":
        return;
    }
  }

  countProblem(where: string, code: string): void {
    this.#instruments.problems.inc({ where: this.#labels.where.admit(where), code: this.#labels.code.admit(code) });
  }

  observeLoop(lag: { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number }, isStall: boolean): void {
    this.#instruments.loopLag.set({ quantile: "0.5" }, seconds(lag.p50Ms));
    this.#instruments.loopLag.set({ quantile: "0.99" }, seconds(lag.p99Ms));
    this.#instruments.loopLag.set({ quantile: "1" }, seconds(lag.maxMs));
    if (isStall) this.#instruments.loopStalls.inc();
  }

  #recordCall(record: ToolCallRecord): void {
    const operation = this.#labels.operation.admit(record.operation);
    this.#instruments.calls.inc({ operation, verdict: this.#labels.verdict.admit(record.verdict) });
    this.#instruments.networkSeconds.observe({ operation }, seconds(record.network_ms));
    this.#instruments.computeSeconds.observe({ operation }, seconds(record.compute_ms));
    this.#instruments.transitBytes.inc({ direction: "in" }, record.request_bytes);
    this.#instruments.transitBytes.inc({ direction: "out" }, record.response_bytes);
    this.#instruments.retries.inc({ operation }, record.retry_count);
  }

  async #read(): Promise<string> {
    this.#setLosses();
    const { agents, responses, sandboxes, stateUp } = this.#instruments;
    const now = await this.#readState();
    agents.reset();
    responses.reset();
    stateUp.set(now === undefined ? 0 : 1);
    // A state that cannot be read leaves its gauges out; stale figures would look like health.
    if (now === undefined) sandboxes.remove();
    else {
      for (const [state, count] of Object.entries(now.agents))
        agents.set({ state: this.#labels.state.admit(state) }, count);
      responses.set({ status: "pending" }, now.pending);
      responses.set({ status: "processing" }, now.processing);
      sandboxes.set(now.sandboxes);
    }
    return await this.#registry.metrics();
  }

  async #readState(): Promise<ServiceGauges | undefined> {
    const isOver = new AbortController();
    const tooLate = async (): Promise<never> => {
      await sleep(GAUGES_MS, undefined, { ref: false, signal: isOver.signal });
      throw new PaddockError("timeout", `the state did not answer within ${GAUGES_MS} ms`);
    };
    try {
      return await Promise.race([this.#options.gauges(), tooLate()]);
    } catch (error) {
      this.#options.onProblem("metrics", error);
      return undefined;
    } finally {
      isOver.abort();
    }
  }

  #setLosses(): void {
    const { logLines, spansDropped, spansFailed } = this.#options.losses();
    const { lost } = this.#instruments;
    lost.reset();
    lost.inc({ kind: "log_line" }, logLines);
    lost.inc({ kind: "span_dropped" }, spansDropped);
    lost.inc({ kind: "span_failed" }, spansFailed);
  }
}

/**
 * A duration that is negative or no number (a clock set back) counts as none: it would spoil a histogram's sum for
 * good.
 */
const seconds = (ms: number): number => (Number.isFinite(ms) && ms > 0 ? ms / 1000 : 0);
