import type { Writable } from "node:stream";
import type { ServiceConfig } from "../config/service.ts";
import { toPaddockError } from "../errors/error.ts";
import { type LoopLag, STALL_MS, watchEventLoop } from "./event-loop.ts";
import { openStandardOutput, openStream } from "./log-sink.ts";
import { Logs } from "./logs.ts";
import { Metrics, type ServiceGauges } from "./metrics.ts";
import { createTracing, type Tracing } from "./otlp/exporter.ts";
import { RateLimit } from "./rate-limit.ts";
import { compileRedact } from "./redact.ts";
import type { Telemetry, TelemetryEvent } from "./telemetry.ts";

/** How long closing waits for a log reader and a collector. */
const FLUSH_MS = 2000;
const ALARM_EVERY_MS = 60_000;

export interface TelemetryOptions {
  readonly logLevel: ServiceConfig["logLevel"];
  /** Where spans go: the full URL (`.../v1/traces`). Undefined: no tracing, and no OpenTelemetry package is loaded. */
  readonly otlpEndpoint: string | undefined;
  readonly version: string;
  /** Stands in every line and on every span, so that several servers of one installation can be told apart. */
  readonly nodeId: string;
  /** Values that must never be written, whatever field they get into: passwords, keys. */
  readonly secrets: readonly string[];
  /** Asked at each scrape of the metrics, by one scrape at a time; 2 s at most. */
  readonly gauges: () => Promise<ServiceGauges>;
  /** Where log lines go. Default: standard output. */
  readonly logTo?: Writable;
}

export interface TelemetryHandle extends Telemetry, AsyncDisposable {
  readonly metrics: Metrics;
}

/**
 * Starts the three adapters (logs, metrics, traces) behind the one seam. Nothing that goes wrong in an adapter reaches
 * the caller. CloseStack hands over what is buffered, within 2 s. Throws `invalid_config` when an endpoint is given and
 * a package for tracing is missing, or the endpoint is no http(s) URL.
 */
export async function createTelemetry(options: TelemetryOptions): Promise<TelemetryHandle> {
  const redact = compileRedact(options.secrets);
  const sink = options.logTo === undefined ? openStandardOutput() : openStream(options.logTo);
  const logs = new Logs({ ...options, level: options.logLevel, redact, sink });
  const exportAlarm = new RateLimit(ALARM_EVERY_MS);
  const tracing =
    options.otlpEndpoint === undefined
      ? undefined
      : await createTracing({
          ...options,
          endpoint: options.otlpEndpoint,
          redact,
          onFailure: (error) => exportAlarm.run((count) => report("otlp", error, { count })),
        });
  const metrics = new Metrics({
    version: options.version,
    gauges: options.gauges,
    losses: () => ({
      logLines: logs.dropped(),
      spansDropped: tracing?.dropped() ?? 0,
      spansFailed: tracing?.failed() ?? 0,
    }),
    onProblem: (where, error) => report(where, error),
  });
  const report = (where: string, error: unknown, extra: { readonly count?: number } = {}): void => {
    const { code, message } = toPaddockError(error);
    const stack = code === "internal" && error instanceof Error ? keepFrames(error.stack) : undefined;
    metrics.countProblem(where, code);
    logs.problem({
      where,
      error_code: code,
      message,
      stack,
      ...extra,
    });
  };
  const loopAlarm = new RateLimit(ALARM_EVERY_MS);
  const onLag = (lag: LoopLag): void => {
    const isStall = lag.maxMs > STALL_MS;
    metrics.observeLoop(lag, isStall);
    if (!isStall) return;
    const stall = new Error(`the event loop stood still for ${Math.round(lag.maxMs)} ms`);
    loopAlarm.run((count) => report("event_loop", stall, { count }));
  };
  return makeHandle({ logs, metrics, tracing, report, loop: watchEventLoop(onLag) });
}

interface Adapters {
  readonly logs: Logs;
  readonly metrics: Metrics;
  readonly tracing: Tracing | undefined;
  readonly report: (where: string, error: unknown) => void;
  readonly loop: Disposable;
}

function makeHandle({ logs, metrics, tracing, report, loop }: Adapters): TelemetryHandle {
  const guard = (act: () => void): void => {
    try {
      act();
    } catch {
      // The caller's work has ended well; a defect of an adapter shows as a count, for its own report might fail the
      // same way.
      metrics.countProblem("telemetry", "internal");
    }
  };
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    loop[Symbol.dispose]();
    await tracing?.close(FLUSH_MS);
    await logs.flush(FLUSH_MS);
  };
  return {
    metrics,
    record: (event: TelemetryEvent) => {
      guard(() => logs.record(event));
      guard(() => metrics.record(event));
      guard(() => tracing?.record(event));
    },
    problem: (where, error) => guard(() => report(where, error)),
    [Symbol.asyncDispose]: async () => {
      closing ??= close();
      await closing;
    },
  };
}

/** Where a defect happened, without its message: that is a field of its own. */
function keepFrames(stack: string | undefined): string | undefined {
  return stack
    ?.split("\n")
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 8)
    .map((line) => line.trim())
    .join("; ");
}
