import { setTimeout as sleep } from "node:timers/promises";
import type { Attributes, HrTime } from "@opentelemetry/api";
import { SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { PaddockError } from "../../errors/error.ts";
import type { Redact } from "../redact.ts";
import type { TelemetryEvent } from "../telemetry.ts";
import { loadOpenTelemetry } from "./packages.ts";
import { buildSpans, type EndedSpan } from "./spans.ts";

/** Spans that may wait for the collector; more are dropped and counted. */
const MOST_WAITING = 4096;
const BATCH = 512;
const EXPORT_EVERY_MS = 1000;
const EXPORT_TIMEOUT_MS = 10_000;

export interface TracingOptions {
  readonly endpoint: string;
  readonly version: string;
  readonly nodeId: string;
  readonly redact: Redact;
  readonly onFailure: (error: unknown) => void;
}

export interface Tracing {
  record(event: TelemetryEvent): void;
  /** Spans that found the queue full, and spans that the collector did not take. */
  dropped(): number;
  failed(): number;
  close(timeoutMs: number): Promise<void>;
}

/** Traces over OTLP/HTTP. Throws `invalid_config` when a package is missing or the endpoint is no http(s) URL. */
export async function createTracing(options: TracingOptions): Promise<Tracing> {
  assertEndpoint(options.endpoint);
  const { sdk, resources, otlp } = await loadOpenTelemetry();
  const counts = { waiting: 0, dropped: 0, failed: 0 };
  const exporter = countExports(
    new otlp.OTLPTraceExporter({ url: options.endpoint, timeoutMillis: EXPORT_TIMEOUT_MS }),
    counts,
    options.onFailure,
  );
  const processor = new sdk.BatchSpanProcessor({
    exporter,
    maxQueueSize: MOST_WAITING,
    maxExportBatchSize: BATCH,
    scheduledDelayMillis: EXPORT_EVERY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const resource = resources
    .resourceFromAttributes({
      "service.name": "paddock",
      "service.version": options.version,
      "service.instance.id": options.nodeId,
    })
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, as everywhere.
    .merge(resources.detectResources({ detectors: [resources.envDetector] }));
  const shared = { resource, instrumentationScope: { name: "paddock", version: options.version } };
  return {
    record: (event) => {
      for (const span of buildSpans(event)) {
        if (counts.waiting >= MOST_WAITING) counts.dropped++;
        else {
          counts.waiting++;
          processor.onEnd(toReadable(span, shared, options.redact));
        }
      }
    },
    dropped: () => counts.dropped,
    failed: () => counts.failed,
    close: async (timeoutMs) => await closeWithin(timeoutMs, () => processor.shutdown()),
  };
}

function assertEndpoint(endpoint: string): void {
  const url = URL.parse(endpoint);
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return;
  throw new PaddockError("invalid_config", "the OTLP endpoint is no http or https URL");
}

/** The exporter with its outcome counted. It never throws, and its errors end here. */
function countExports(
  inner: SpanExporter,
  counts: { waiting: number; failed: number },
  onFailure: (error: unknown) => void,
): SpanExporter {
  return {
    export: (spans, done) => {
      inner.export(spans, (result) => {
        counts.waiting -= spans.length;
        if (result.code !== 0) {
          counts.failed += spans.length;
          onFailure(result.error ?? new Error("the collector refused the spans"));
        }
        // The processor would pass a failure on to OpenTelemetry's global error handler, which belongs to the embedding
        // program.
        done({ code: 0 });
      });
    },
    shutdown: async () => await inner.shutdown(),
  };
}

interface Shared {
  readonly resource: ReadableSpan["resource"];
  readonly instrumentationScope: ReadableSpan["instrumentationScope"];
}

function toReadable(span: EndedSpan, shared: Shared, redact: Redact): ReadableSpan {
  const context = (spanId: string) => ({ traceId: span.traceId, spanId, traceFlags: TraceFlags.SAMPLED });
  const endMs = span.startMs + Math.max(0, span.durationMs);
  const own = context(span.spanId);
  return {
    ...shared,
    name: `${redact({ name: span.name })["name"] as string}`,
    kind: span.kind,
    spanContext: () => own,
    ...(span.parentSpanId === undefined
      ? {}
      : { parentSpanContext: { ...context(span.parentSpanId), isRemote: true } }),
    startTime: toHrTime(span.startMs),
    endTime: toHrTime(endMs),
    duration: toHrTime(endMs - span.startMs),
    status: span.failure === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR },
    attributes: redact(span.attributes) as Attributes,
    links: [],
    events: [],
    ended: true,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** Milliseconds as seconds and nanoseconds, kept to the microsecond: a double holds no more of the present time. */
function toHrTime(ms: number): HrTime {
  const microseconds = Math.round(ms * 1000);
  return [Math.floor(microseconds / 1e6), (microseconds % 1e6) * 1000];
}

async function closeWithin(timeoutMs: number, close: () => Promise<void>): Promise<void> {
  await Promise.race([close().catch(() => {}), sleep(timeoutMs, undefined, { ref: false })]);
}
