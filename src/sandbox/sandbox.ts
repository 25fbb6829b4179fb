import type { Duplex } from "node:stream";
import type { z } from "zod";
import { PaddockError, toPaddockError } from "../errors/error.ts";
import { raceSignal } from "../lib/deadline.ts";
import type { SandboxId, ToolCallId } from "../model/ids.ts";
import { makeToolCallId } from "../model/ids.ts";
import { announceStep } from "../model/steps.ts";
import { Call, type CallSinks } from "./call.ts";
import { CallGuard } from "./call-guard.ts";
import type { Channel } from "./channel/channel.ts";
import { CodeDone, DONE, ProcessDone, type ProcessListing, type ProcessReport } from "./channel/messages.ts";
import { SandboxContexts } from "./contexts.ts";
import { SandboxFiles } from "./files.ts";
import type { SandboxEnd, SandboxHost, UsageSample } from "./host.ts";
import { openPort } from "./ports.ts";
import {
  type CodeOptions,
  type CodeResult,
  type ProcessOptions,
  type ProcessResult,
  RunCollector,
  RunningProcess,
  type RunOptions,
  type RunResult,
} from "./process.ts";
import type { RequestFields } from "./request.ts";
import { SilenceWatch } from "./silence-watch.ts";
import { SUPERVISOR_TIMES, type SupervisorTimes } from "./times.ts";

const DEFAULT_LIVE_BYTES = 8 * 1024 * 1024;
/** Requests that are answered at once, whatever else the supervisor does. */
const CONTROLS: ReadonlySet<unknown> = new Set(["cancel", "signal"]);

/** An interpreter the supervisor keeps warm. */
export interface Interpreter {
  readonly argv: readonly string[];
  /** Start it ahead of need; otherwise the first use does. */
  readonly warm: boolean;
}

/**
 * What a sandbox is told about itself after its supervisor dialed. Set by a frame, so that a restored sandbox can get
 * it anew.
 */
export interface SandboxSettings {
  readonly hostname: string;
  readonly workspacePath: string;
  readonly env: Readonly<Record<string, string>>;
  readonly python: (Interpreter & { readonly preload: readonly string[] }) | null;
  readonly javascript: Interpreter | null;
  readonly spillBytes: number;
}

export interface SandboxParts {
  readonly id: SandboxId;
  readonly channel: Channel;
  readonly host: SandboxHost;
  readonly times?: SupervisorTimes;
  /** Runs once at the end of `close`: what the maker of the parts has to remove. */
  readonly afterClose?: () => void | Promise<void>;
}

/** A living sandbox: processes, code, files and ports, in the protocol of docs/protocol.md. */
export class Sandbox implements AsyncDisposable {
  readonly id: SandboxId;
  readonly host: SandboxHost;
  readonly settings: SandboxSettings;
  readonly files: SandboxFiles;
  readonly contexts: SandboxContexts;
  /** Resolves with the reason once the sandbox is gone. Never rejects. */
  readonly ended: Promise<SandboxEnd>;
  readonly #channel: Channel;
  readonly #times: SupervisorTimes;
  readonly #afterClose: SandboxParts["afterClose"];
  #end: PaddockError | undefined;
  readonly #silence: SilenceWatch;
  readonly #guards = new Set<CallGuard>();
  /** Resolves when a pause ends; calls begun meanwhile wait for it. */
  #pause: PromiseWithResolvers<void> | undefined;
  /** Every request has a wire id of its own: `<tool call id>.<n>`; spill files and relay ports are named by it. */
  #requests = 0;

  private constructor(parts: SandboxParts, settings: SandboxSettings) {
    this.id = parts.id;
    this.host = parts.host;
    this.settings = settings;
    this.#channel = parts.channel;
    this.#times = parts.times ?? SUPERVISOR_TIMES;
    this.#afterClose = parts.afterClose;
    parts.channel.watchBy(() => parts.host.isHeldUp?.() ?? false);
    this.#silence = new SilenceWatch(parts.channel, this.#times, (error) => void this.kill(error));
    const request = this.request.bind(this);
    this.files = new SandboxFiles(request);
    this.contexts = new SandboxContexts(request);
    this.ended = parts.host.ended.then(async (end) => {
      this.#end ??= new PaddockError("sandbox_lost", `the sandbox ended: ${end.detail}`);
      this.#silence[Symbol.dispose]();
      this.#pause?.resolve();
      await this.#channel[Symbol.asyncDispose]();
      return end;
    });
  }

  /** Waits for the supervisor's first dial and sends its settings. The caller destroys `parts` when this throws. */
  static async open(parts: SandboxParts, settings: SandboxSettings, signal: AbortSignal): Promise<Sandbox> {
    const sandbox = new Sandbox(parts, settings);
    const early = parts.host.ended.then((end) => {
      throw new PaddockError("create_failed", `the sandbox ended before its supervisor answered: ${end.detail}`);
    });
    early.catch(() => undefined);
    const { workspacePath, hostname, env, python, javascript, spillBytes } = settings;
    const init = { op: "init", hostname, workspace: workspacePath, env, python, javascript, spill_bytes: spillBytes };
    await raceSignal(
      Promise.race([sandbox.request(init, DONE.init, {}, makeToolCallId(), 30_000).then((call) => call.done), early]),
      signal,
    );
    return sandbox;
  }

  /** Why the sandbox is gone, or undefined while it lives. */
  get end(): PaddockError | undefined {
    return this.#end;
  }

  usage(): UsageSample {
    return this.host.usage();
  }

  async startProcess(options: ProcessOptions): Promise<RunningProcess> {
    const { call, collector, done } = await this.#start(options, options.stdin ?? options.pty !== undefined);
    done.catch((error: unknown) => collector.abandon(error));
    const started = await Promise.race([collector.started, done.then((result) => neverStarted(result))]);
    return new RunningProcess(call, started, done, () => this.#cancel(call));
  }

  /** Runs a process to its end, with `input` as its standard input. */
  async runProcess(options: ProcessOptions, input?: Buffer | string): Promise<ProcessResult> {
    const { call, done } = await this.#start(options, input !== undefined);
    if (input !== undefined) void call.sendData(Buffer.from(input)).then(() => call.endData());
    return await done;
  }

  /** Follows a process started before, from what the supervisor still holds of its output. */
  async attach(pid: number, options: RunOptions): Promise<RunningProcess> {
    const collector = new RunCollector(options);
    const call = await this.request({ op: "attach", pid }, ProcessDone, collector.sinks(false), options.callId);
    const done = this.#follow(call, collector, options);
    done.catch((error: unknown) => collector.abandon(error));
    return new RunningProcess(call, await collector.started, done, () => this.#cancel(call));
  }

  async runCode(options: CodeOptions): Promise<CodeResult> {
    const collector = new RunCollector(options);
    const request = {
      op: "run",
      language: options.language,
      context: options.context ?? null,
      stdin: false,
      file: options.file ?? (options.language === "python" ? "main.py" : "main.js"),
      ...runFields(options),
    };
    const call = await this.request(request, CodeDone, collector.sinks(true), options.callId);
    void call.sendData(Buffer.from(options.code)).then(() => call.endData());
    return await this.#follow(call, collector, options);
  }

  async processes(): Promise<readonly ProcessListing[]> {
    const call = await this.request({ op: "processes" }, DONE.processes);
    return (await call.done).processes;
  }

  /** Signals the group of a listed process; `name` without SIG. */
  async signalProcess(pid: number, name: string): Promise<void> {
    await (await this.request({ op: "signal", pid, signal: name }, DONE.empty)).done;
  }

  /** A byte stream to a TCP port on the sandbox's loopback. */
  async connect(port: number): Promise<Duplex> {
    await this.#pause?.promise;
    this.#assertLive();
    return await openPort(this.#channel, port, this.#times.takeMs);
  }

  /**
   * Stops everything in the sandbox where it is, until `resume`. Nothing counts as late meanwhile, but time inside goes
   * on: a deadline that passes ends its call after `resume`. Calls begun meanwhile wait. Throws `unsupported` where the
   * driver cannot. Idempotent.
   */
  async pause(): Promise<void> {
    this.#assertLive();
    if (!this.host.pause || !this.host.resume)
      throw new PaddockError("unsupported", "this driver cannot pause a sandbox");
    if (this.#pause) return;
    this.#pause = Promise.withResolvers();
    for (const part of this.#timed()) part.suspend();
    try {
      await this.host.pause();
    } catch (error) {
      this.#goOn();
      throw error;
    }
  }

  /** Ends a pause; does nothing without one. */
  async resume(): Promise<void> {
    this.#assertLive();
    if (!this.#pause) return;
    await this.host.resume?.();
    this.#goOn();
  }

  /** Whatever kills the sandbox for being late. */
  #timed(): readonly { suspend(): void; resume(): void }[] {
    return [this.#channel, this.#silence, ...this.#guards];
  }

  #goOn(): void {
    for (const part of this.#timed()) part.resume();
    this.#pause?.resolve();
    this.#pause = undefined;
  }

  /** Kills the sandbox; later calls fail with `error`. */
  async kill(error: PaddockError): Promise<void> {
    this.#end ??= error;
    await this.host.kill(error.message);
  }

  /** Ends the sandbox and removes everything the driver made. Idempotent. */
  async close(options: { readonly keepWorkspace?: boolean } = {}): Promise<void> {
    this.#end ??= new PaddockError("sandbox_closed", `sandbox ${this.id} was closed`);
    this.#silence[Symbol.dispose]();
    this.#pause?.resolve();
    announceStep("closing", this.id);
    try {
      await this.host.destroy(options);
    } finally {
      await this.#channel[Symbol.asyncDispose]();
    }
    announceStep("driver removed it", this.id);
    await this.#afterClose?.();
    announceStep("run folder removed", this.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(
    options: ProcessOptions,
    stdin: boolean,
  ): Promise<{ call: Call<typeof ProcessDone>; collector: RunCollector; done: Promise<ProcessResult> }> {
    const collector = new RunCollector(options);
    const { argv, pty = null, background = false } = options;
    const request = { op: "start", argv, stdin, pty, background, ...runFields(options) };
    const call = await this.request(request, ProcessDone, collector.sinks(false), options.callId);
    return { call, collector, done: this.#follow(call, collector, options) };
  }

  /** One request on a connection of its own. `callId` defaults to a new one. */
  async request<Done extends z.ZodType>(
    request: RequestFields,
    schema: Done,
    sinks: CallSinks = {},
    callId: ToolCallId = makeToolCallId(),
    takeMs: number = this.#times.takeMs,
  ): Promise<Call<Done>> {
    await this.#pause?.promise;
    this.#assertLive();
    const kind = CONTROLS.has(request.op) ? "control" : "ordinary";
    const connection = await this.#channel.take(takeMs, kind).catch((error: unknown) => {
      throw this.#end ?? error;
    });
    this.#requests += 1;
    const call = new Call(this.#channel, connection, request, schema, sinks, `${callId}.${this.#requests}`);
    this.#silence.watchDuring(call.done);
    return call;
  }

  #assertLive(): void {
    if (this.#end) throw this.#end;
  }

  async #follow<Report extends ProcessReport>(
    call: Call<z.ZodType<Report>>,
    collector: RunCollector,
    options: RunOptions,
  ): Promise<RunResult<Report>> {
    const guard = new CallGuard(options, {
      cancel: () => this.#cancel(call),
      kill: (why) => void this.kill(why),
      graceMs: this.#times.graceMs,
      limit: (limitMs, expire) => this.#channel.limit(limitMs, expire),
    });
    this.#guards.add(guard);
    if (this.#pause) guard.suspend();
    let report: Report | undefined;
    let error: PaddockError | undefined;
    try {
      report = await call.done;
      if (report.survivors > 0) await guard.killSandbox("processes of the call outlived it");
    } catch (thrown) {
      error = await this.#explainLoss(toPaddockError(thrown));
    } finally {
      guard[Symbol.dispose]();
      this.#guards.delete(guard);
    }
    return {
      ended: report?.reason ?? (guard.deadlinePassed ? "deadline" : guard.cancelled ? "cancel" : "lost"),
      ...(report === undefined ? {} : { report }),
      ...(error === undefined ? {} : { error }),
      sandboxKilled: guard.killed,
      stdout: collector.output("stdout", report?.stdout),
      stderr: collector.output("stderr", report?.stderr),
      rich: collector.rich,
      bytes: call.bytes,
    };
  }

  /** On another connection too: on its own a cancel waits behind input that nobody reads. */
  #cancel(call: Call<z.ZodType>): void {
    call.sendControl({ op: "cancel" });
    this.request({ op: "cancel", target: call.id }, DONE.empty).then(
      (request) => request.done.catch(() => undefined),
      () => undefined,
    );
  }

  /** A request that failed is the caller's error; a connection that broke becomes the reason the sandbox ended. */
  async #explainLoss(error: PaddockError): Promise<PaddockError> {
    if (error.code !== "supervisor_lost" && error.code !== "protocol_error") throw error;
    if (!this.#end) await Promise.race([this.host.ended, new Promise((resolve) => setTimeout(resolve, 250))]);
    if (!this.#end) await this.kill(error);
    return this.#end ?? error;
  }
}

function runFields(options: RunOptions): object {
  const limits = options.rlimits ?? {};
  return {
    cwd: options.cwd ?? ".",
    env: options.env ?? {},
    rlimits: {
      ...(limits.cpuSeconds === undefined ? {} : { cpu_seconds: limits.cpuSeconds }),
      ...(limits.openFiles === undefined ? {} : { open_files: limits.openFiles }),
      ...(limits.fileBytes === undefined ? {} : { file_bytes: limits.fileBytes }),
      ...(limits.addressBytes === undefined ? {} : { address_bytes: limits.addressBytes }),
    },
    deadline_ms: options.deadlineMs === undefined ? null : Math.max(1, Math.round(options.deadlineMs)),
    live_bytes: options.liveBytes === undefined ? DEFAULT_LIVE_BYTES : options.liveBytes,
  };
}

function neverStarted(result: ProcessResult): never {
  throw result.error ?? new PaddockError("protocol_error", "a process ended before it was announced");
}
