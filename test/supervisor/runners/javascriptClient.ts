// Speaks to the real JavaScript runner as the supervisor does.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";

const RUNNER = join(import.meta.dirname, "../../../images/supervisor/runners/javascript/runner.mjs");

export interface Frame {
  file: string;
  line: number;
  function: string;
  text: string;
}

export interface Result {
  value: string | null;
  error: { name: string; message: string; traceback: Frame[] } | null;
  truncated: boolean;
  exit_code: number;
}

export interface Outcome {
  results: Result[];
  rich: { mime: string; data: Buffer }[];
  stdout: string;
  stderr: string;
  exitCode: number | null;
  resultBytes: number;
}

export interface RequestOptions {
  file?: string;
  env?: Record<string, string>;
  cwd?: string;
  isAfterInterrupt?: boolean;
}

export class JavaScriptClient {
  readonly process: ChildProcess;
  readonly payload: Duplex;
  outcome: Outcome = makeOutcome();
  private buffer: Buffer = Buffer.alloc(0);
  private onResult: (() => void) | undefined;
  private readonly isContext: boolean;

  constructor(isContext: boolean, spareEnv: Record<string, string> = {}) {
    this.isContext = isContext;
    this.process = spawn(process.execPath, ["--disable-sigusr1", RUNNER], {
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      cwd: "/",
      env: { PATH: process.env["PATH"] ?? "", ...spareEnv },
    });
    this.payload = this.process.stdio[3] as Duplex;
    this.payload.on("error", () => undefined);
    this.payload.on("data", (chunk: Buffer) => this.takeFrames(chunk));
    this.process.stdout?.on("data", (chunk) => {
      this.outcome.stdout += String(chunk);
    });
    this.process.stderr?.on("data", (chunk) => {
      this.outcome.stderr += String(chunk);
    });
  }

  send(
    code: string,
    { file = "main.js", env = {}, cwd = tmpdir(), isAfterInterrupt = false }: RequestOptions = {},
  ): void {
    const header = JSON.stringify({ file, env, cwd, context: this.isContext, after_interrupt: isAfterInterrupt });
    this.payload.write(Buffer.concat([makeBlock(header), makeBlock(code)]));
  }

  /** One run of a context, up to its result. */
  async ask(code: string, options: RequestOptions = {}): Promise<Result> {
    this.send(code, options);
    return await this.nextResult();
  }

  async nextResult(): Promise<Result> {
    this.outcome = makeOutcome();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.onResult = resolve;
    this.process.once("close", resolve);
    await promise;
    const [result] = this.outcome.results;
    if (result === undefined)
      throw new Error(`ended without a result: ${this.process.signalCode ?? this.process.exitCode}`);
    return result;
  }

  async end(): Promise<Outcome> {
    this.process.stdin?.end();
    const [exitCode] = (await once(this.process, "close")) as [number | null];
    return { ...this.outcome, exitCode };
  }

  private takeFrames(chunk: Buffer): void {
    this.buffer = Buffer.concat([this.buffer, chunk]);
    while (this.buffer.length >= 5 && this.buffer.length >= 5 + this.buffer.readUInt32BE(1)) {
      const end = 5 + this.buffer.readUInt32BE(1);
      this.takeFrame(this.buffer.readUInt8(0), this.buffer.subarray(5, end));
      this.buffer = this.buffer.subarray(end);
    }
  }

  private takeFrame(kind: number, body: Buffer): void {
    if (kind === 2) {
      const mimeEnd = 1 + body.readUInt8(0);
      this.outcome.rich.push({ mime: body.subarray(1, mimeEnd).toString(), data: body.subarray(mimeEnd) });
      return;
    }
    if (kind === 3) return;
    this.outcome.results.push(JSON.parse(body.toString()) as Result);
    this.outcome.resultBytes = body.length;
    this.onResult?.();
  }
}

export async function runJavaScript(code: string, options: RequestOptions = {}): Promise<Outcome & { result: Result }> {
  const client = new JavaScriptClient(false);
  client.send(code, options);
  const outcome = await client.end();
  const [result] = outcome.results;
  if (result === undefined || outcome.results.length > 1) {
    throw new Error(`${outcome.results.length} results; stderr: ${outcome.stderr}`);
  }
  return { ...outcome, result };
}

function makeOutcome(): Outcome {
  return { results: [], rich: [], stdout: "", stderr: "", exitCode: null, resultBytes: 0 };
}

function makeBlock(content: string): Buffer {
  const body = Buffer.from(content);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}
