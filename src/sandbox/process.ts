import type { z } from "zod";
import type { PaddockError } from "../errors/error.ts";
import { BoundedOutput } from "../lib/bounded-output.ts";
import type { ToolCallId } from "../model/ids.ts";
import type { OutputRecord } from "../model/record.ts";
import type { Call, CallBytes, CallSinks } from "./call.ts";
import { breach } from "./channel/frames.ts";
import {
  type CodeReport,
  expectMessage,
  Gap,
  type ProcessDone,
  type ProcessReport,
  Rich,
  Started,
  type StreamReport,
} from "./channel/messages.ts";

export interface Rlimits {
  readonly cpuSeconds?: number;
  readonly openFiles?: number;
  readonly fileBytes?: number;
  readonly addressBytes?: number;
}

/** What every process and code run has in common. */
export interface RunOptions {
  /** The tool call it belongs to. Default: a new one of its own. */
  readonly callId?: ToolCallId;
  /** Default: the workspace. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly rlimits?: Rlimits;
  /** Ends the call (TERM, KILL after 250 ms); the host kills the sandbox when anything lives 1 s after it. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Bytes of each stream sent as they come; null sends all with back-pressure. Default 8 MiB. */
  readonly liveBytes?: number | null;
  /** Bytes kept per stream in the result. Default 1 MiB. */
  readonly outputBytes?: number;
  /** Live output, before the call ends. A promise gives back-pressure. */
  readonly onOutput?: (stream: "stdout" | "stderr", chunk: Buffer) => void | Promise<void>;
}

export interface ProcessOptions extends RunOptions {
  readonly argv: readonly string[];
  readonly stdin?: boolean;
  readonly pty?: { readonly rows: number; readonly cols: number };
  readonly background?: boolean;
}

export interface CodeOptions extends RunOptions {
  readonly language: "python" | "javascript";
  readonly code: string;
  /** Keeps state between runs under this name; without it every run has fresh globals. */
  readonly context?: string;
  /** Name shown in tracebacks. */
  readonly file?: string;
}

export interface RichOutput {
  readonly mime: string;
  readonly data: Buffer;
}

export type StreamFacts = z.infer<typeof StreamReport>;

const MAX_RICH_OUTPUTS = 1000;
const MAX_RICH_BYTES = 16 * 1024 * 1024;

/** Collects output and events of one process or code run. */
export class RunCollector {
  readonly #stdout: BoundedOutput;
  readonly #stderr: BoundedOutput;
  readonly #options: RunOptions;
  #hasStarted = false;
  readonly #started = Promise.withResolvers<{ pid: number; relayPort: number }>();
  readonly rich: RichOutput[] = [];
  #richOpen: { mime: string; left: number; chunks: Buffer[] } | undefined;
  #richBytesLeft = MAX_RICH_BYTES;

  constructor(options: RunOptions) {
    const limit = options.outputBytes ?? 1024 * 1024;
    this.#stdout = new BoundedOutput(limit);
    this.#stderr = new BoundedOutput(limit);
    this.#options = options;
    this.#started.promise.catch(() => undefined);
  }

  get started(): Promise<{ pid: number; relayPort: number }> {
    return this.#started.promise;
  }

  /** `started` cannot come any more. */
  abandon(error: unknown): void {
    this.#started.reject(error);
  }

  sinks(allowRich: boolean): CallSinks {
    const collect = (stream: "stdout" | "stderr", output: BoundedOutput) => (chunk: Buffer) => {
      output.push(chunk);
      return this.#options.onOutput?.(stream, chunk);
    };
    return {
      stdout: collect("stdout", this.#stdout),
      stderr: collect("stderr", this.#stderr),
      event: (control) => this.#event(control, allowRich),
      done: (report) => this.#checkEnd(report as ProcessReport),
      ...(allowRich ? { data: (chunk: Buffer) => this.#richBytes(chunk) } : {}),
    };
  }

  /** `facts` is what the supervisor reports of the stream; absent when it was lost. */
  output(stream: "stdout" | "stderr", facts: StreamFacts | undefined): OutputRecord {
    const kept = stream === "stdout" ? this.#stdout : this.#stderr;
    const spilled = facts?.spill ?? null;
    return {
      text: kept.text(),
      total_bytes: kept.totalBytes,
      dropped_bytes: Math.max(0, kept.totalBytes - Math.max(spilled?.bytes ?? 0, kept.totalBytes - kept.missingBytes)),
      ...(spilled === null ? {} : { spill: spilled }),
    };
  }

  #event(control: { readonly op: string }, allowRich: boolean): void {
    if (control.op === "started") {
      const started = expectMessage(Started, control);
      if (this.#hasStarted) throw breach("a process started a second time");
      this.#hasStarted = true;
      this.#started.resolve({ pid: started.pid, relayPort: started.relay_port });
    } else if (control.op === "gap") {
      const gap = expectMessage(Gap, control);
      (gap.stream === "stdout" ? this.#stdout : this.#stderr).skip(gap.bytes);
    } else if (control.op === "rich" && allowRich) {
      const rich = expectMessage(Rich, control);
      if (this.#richOpen) throw breach("a rich output began inside another");
      this.#richBytesLeft -= rich.bytes;
      if (this.rich.length >= MAX_RICH_OUTPUTS || this.#richBytesLeft < 0)
        throw breach("more rich output than a run may send");
      this.#richOpen = { mime: rich.mime, left: rich.bytes, chunks: [] };
      this.#closeRich();
    } else throw breach(`event ${control.op.slice(0, 32)} does not belong to this call`);
  }

  /** A run may be over before it has a process, but then it did not exit. */
  #checkEnd({ reason }: ProcessReport): void {
    if (reason === "exit" && !this.#hasStarted) throw breach("a process ended before it was announced");
  }

  #richBytes(chunk: Buffer): void {
    const open = this.#richOpen;
    if (!open || chunk.length > open.left) throw breach("more rich output than announced");
    open.chunks.push(chunk);
    open.left -= chunk.length;
    this.#closeRich();
  }

  #closeRich(): void {
    if (this.#richOpen?.left !== 0) return;
    this.rich.push({ mime: this.#richOpen.mime, data: Buffer.concat(this.#richOpen.chunks) });
    this.#richOpen = undefined;
  }
}

/**
 * How a process ended. `lost`: the sandbox or its supervisor went away first (`error` says how) and `report` is absent;
 * the output received until then is kept.
 */
export interface RunResult<Report extends ProcessReport> {
  readonly ended: "exit" | "deadline" | "cancel" | "lost";
  readonly report?: Report;
  readonly error?: PaddockError;
  /** The call could only be ended by killing its sandbox. */
  readonly sandboxKilled: boolean;
  readonly stdout: OutputRecord;
  readonly stderr: OutputRecord;
  readonly rich: readonly RichOutput[];
  readonly bytes: Readonly<CallBytes>;
}

export type ProcessResult = RunResult<ProcessReport>;
export type CodeResult = RunResult<CodeReport>;

/** A started process: input, signals and its end. */
export class RunningProcess {
  readonly pid: number;
  readonly relayPort: number;
  readonly done: Promise<ProcessResult>;
  readonly #call: Call<typeof ProcessDone>;
  readonly #cancel: () => void;

  constructor(
    call: Call<typeof ProcessDone>,
    started: { pid: number; relayPort: number },
    done: Promise<ProcessResult>,
    cancel: () => void,
  ) {
    this.pid = started.pid;
    this.relayPort = started.relayPort;
    this.done = done;
    this.#call = call;
    this.#cancel = cancel;
  }

  /** Writes to standard input (with `stdin: true` or a pty). */
  async write(chunk: Buffer | string): Promise<void> {
    await this.#call.sendData(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }

  closeStdin(): void {
    this.#call.endData();
  }

  /** `name` without SIG, for example `INT`. */
  signal(name: string): void {
    this.#call.sendControl({ op: "signal", signal: name });
  }

  resize(rows: number, cols: number): void {
    this.#call.sendControl({ op: "resize", rows, cols });
  }

  /** TERM, then KILL after 250 ms, then everything the call left. */
  cancel(): void {
    this.#cancel();
  }
}
