import { StringDecoder } from "node:string_decoder";
import { PaddockError } from "../../errors/error.ts";
import { sumMetrics } from "../../executor/metrics.ts";
import type { CallEnd, OutputEvent, ProgressEvent } from "../../executor/sinks/task-event.ts";
import type { TaskSink } from "../../executor/sinks/task-sink.ts";
import type { RecordedError } from "../../model/record.ts";
import type { OutputItem, Segment } from "../../model/response.ts";
import type { TaskResult } from "../../model/result.ts";
import type { LiveLog } from "../events/live-log.ts";
import { type EndedCall, excerptCall, forgetOutput } from "./call-excerpt.ts";
import { makeCallSegment, makeLostSegment, makeResultSegment, type StartedCall } from "./call-segments.ts";
import { describeFailure, describeSuccess, MAX_SHOWN_CALLS } from "./final-text.ts";
import { ResponseSizeBudget } from "./response-size-budget.ts";

export interface SegmentWriterOptions {
  /** As `ResponseWrites.appendSegments`. */
  readonly append: (after: number, segments: readonly Segment[]) => Promise<number | false>;
  /** How many segments the response has from earlier attempts. */
  readonly earlier?: number;
  readonly live: LiveLog;
}

/** What goes into the row with its end. */
export interface WrittenEnd {
  readonly outputContent: readonly OutputItem[];
  readonly segments: readonly Segment[];
}

/** Longer pieces are shown in parts, so that no live event is larger. */
const PIECE_BYTES = 32 * 1024;

/**
 * Turns what a task does into segments, stored one after another while it runs, and into live events. Storing a call's
 * start holds nobody up; a call's end waits until it is stored.
 */
export class SegmentWriter implements TaskSink {
  readonly #append: SegmentWriterOptions["append"];
  readonly #live: LiveLog;
  /** How many segments were stored when one was stored last. */
  #count: number;
  readonly #ended: EndedCall[] = [];
  readonly #decoders = new Map<string, StringDecoder>();
  readonly #budget = new ResponseSizeBudget();
  #running: StartedCall | undefined;
  /** Until the running call's start is stored. */
  #starting: Promise<void> | undefined;
  /** The last segment that was handed over; rejects when it or one before could not be stored. */
  #stored: Promise<void> = Promise.resolve();

  constructor(options: SegmentWriterOptions) {
    this.#append = options.append;
    this.#live = options.live;
    this.#count = options.earlier ?? 0;
  }

  event(event: ProgressEvent): void {
    if (event.type === "task_started") this.#live.phase("run", event.source);
    if (event.type === "progress") this.#live.phase("sandbox", event.message);
    if (event.type === "call_started") this.#start(event);
  }

  /** Output comes after the segment of its call. */
  output({ callId, stream, chunk }: OutputEvent): void | Promise<void> {
    if (this.#starting !== undefined) return this.#starting.then(() => this.#decode(callId, stream, chunk));
    this.#decode(callId, stream, chunk);
  }

  /**
   * Rejects with what the store threw, and with `fenced` when the claim is over: the task has nobody to work for then.
   */
  async call(call: CallEnd): Promise<void> {
    await this.#starting;
    this.#flush();
    this.#ended.push(excerptCall(call));
    const old = this.#ended.at(-1 - MAX_SHOWN_CALLS);
    // A failure is told by the last call that failed, which may be long ago.
    if (old?.record.success) this.#ended[this.#ended.length - 1 - MAX_SHOWN_CALLS] = forgetOutput(old);
    await this.write([makeResultSegment(call.record, call.value, this.#budget)]);
  }

  /** Its segment has the rest. */
  excerpt(call: CallEnd): CallEnd {
    return forgetOutput(call);
  }

  /** Stores segments of others (notes) in their place. */
  async write(segments: readonly Segment[]): Promise<void> {
    this.#stored = this.#stored.then(async () => {
      const number = await this.#append(this.#count, segments);
      if (number === false) throw new PaddockError("fenced", "the response was ended or taken over by somebody else");
      this.#count = number;
      this.#live.stored(number);
    });
    // Whoever waits for a later segment gets the failure.
    this.#stored.catch(() => undefined);
    await this.#stored;
  }

  /** The rest, once everything before is stored or has failed. The row is the caller's to end. */
  async finish(result: TaskResult | PaddockError): Promise<WrittenEnd> {
    await this.#starting;
    const running = this.#running;
    this.#flush();
    await this.#stored.catch(() => undefined);
    const error = result instanceof PaddockError ? result.toJSON() : result.error;
    const status = result instanceof PaddockError ? statusOf(result) : result.status;
    const text = error === undefined ? describeSuccess(this.#ended) : describeFailure(error, this.#ended, status);
    const metrics = result instanceof PaddockError ? this.#sum() : result.metrics;
    return {
      outputContent: [
        { type: "text", title: "Result", content: text.plain },
        { type: "json", title: "metrics", content: metrics },
      ],
      segments: [
        ...(running === undefined ? [] : [makeLostSegment(running, messageOf(error))]),
        { type: "commentary", channel: "analysis", text: text.markdown },
      ],
    };
  }

  #start(event: StartedCall): void {
    this.#running = event;
    this.#live.phase("call", event.title);
    this.#starting = this.write([makeCallSegment(event)]).then(
      () => this.#goOn(),
      // The call's end tells.
      () => this.#goOn(),
    );
  }

  #goOn(): void {
    this.#starting = undefined;
  }

  #decode(callId: string, stream: "stdout" | "stderr", chunk: Buffer): void {
    const key = `${callId} ${stream}`;
    const decoder = this.#decoders.get(key) ?? new StringDecoder("utf8");
    this.#decoders.set(key, decoder);
    for (let from = 0; from < chunk.length; from += PIECE_BYTES)
      this.#live.output(callId, stream, decoder.write(chunk.subarray(from, from + PIECE_BYTES)));
  }

  /** Shows what the decoders still hold of the running call. */
  #flush(): void {
    for (const [key, decoder] of this.#decoders) {
      const [callId = "", stream] = key.split(" ");
      this.#live.output(callId, stream === "stderr" ? "stderr" : "stdout", decoder.end());
    }
    this.#decoders.clear();
    this.#running = undefined;
  }

  #sum() {
    return sumMetrics(this.#ended.map(({ record }) => record));
  }
}

const statusOf = (error: PaddockError): string => (error.code === "cancelled" ? "cancelled" : "failed");

const messageOf = (error: RecordedError | undefined): string => error?.message ?? "the call has no result";
