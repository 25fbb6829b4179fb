import { type Logger, pino } from "pino";
import type { ServiceConfig } from "../config/service.ts";
import { describeEvent } from "./fields.ts";
import type { LogSink } from "./log-sink.ts";
import { judge } from "./outcome.ts";
import type { Fields, Redact } from "./redact.ts";
import type { TelemetryEvent } from "./telemetry.ts";

export interface LogOptions {
  readonly level: ServiceConfig["logLevel"];
  readonly nodeId: string;
  readonly version: string;
  readonly redact: Redact;
  readonly sink: LogSink;
}

/** One JSON object per line and unit of work (docs/telemetry.md). */
export class Logs {
  readonly #logger: Logger;
  readonly #redact: Redact;
  readonly #sink: LogSink;
  #dropped = 0;
  #reportedDrops = 0;
  #isBlocked = false;

  constructor({ level, nodeId, version, redact, sink }: LogOptions) {
    this.#redact = redact;
    this.#sink = sink;
    this.#logger = pino(
      {
        level,
        base: { service: "paddock", version, node: nodeId },
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      { write: (line) => this.#write(line) },
    );
  }

  record(event: TelemetryEvent): void {
    this.#logger[judge(event).severity](this.#redact(describeEvent(event)));
    this.#reportDrops();
  }

  /** `fields` pass the redaction like those of an event. */
  problem(fields: Fields): void {
    this.#logger.error(this.#redact({ op: "server.problem", outcome: "failed", ...fields }));
    this.#reportDrops();
  }

  /** Lines that found no room or no reader since the start. */
  dropped(): number {
    return this.#dropped;
  }

  async flush(timeoutMs: number): Promise<void> {
    await this.#sink.flush(timeoutMs);
  }

  #write(line: string): void {
    this.#isBlocked = !this.#sink.write(line);
    if (this.#isBlocked) this.#dropped++;
  }

  /** Says how many lines are missing once there is room again. */
  #reportDrops(): void {
    const lines = this.#dropped - this.#reportedDrops;
    if (lines === 0 || this.#isBlocked) return;
    this.#reportedDrops = this.#dropped;
    this.#logger.warn({ op: "log.dropped", outcome: "dropped", lines });
  }
}
