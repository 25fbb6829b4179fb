import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { testEnv } from "./home.ts";

export const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

const TERMINAL = ["/usr/bin/python3", "-I", fileURLToPath(new URL("terminal.py", import.meta.url)), "24", "80"];

/** A command that lives longer than this is killed and the test fails. */
const LIMIT_MS = 30_000;

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** On a terminal of its own, steered by `type` and `resize`; its output is one stream, stdout. */
  readonly terminal?: boolean;
  /** Standard input; without it `/dev/null`, with `open` a pipe that stays open. */
  readonly input?: string | Buffer | { readonly open: true };
}

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running `paddock` command: a real process. */
export class CliProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<CliResult>;
  readonly #text = { stdout: "", stderr: "" };
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], options: CliOptions = {}) {
    const command = [...(options.terminal ? TERMINAL : []), process.execPath, CLI, ...args];
    const hasInput = options.terminal === true || options.input !== undefined;
    this.child = spawn(command[0] ?? "", command.slice(1), {
      cwd: options.cwd,
      env: options.env ?? testEnv(),
      stdio: [hasInput ? "pipe" : "ignore", "pipe", "pipe"],
    });
    for (const stream of ["stdout", "stderr"] as const) {
      this.child[stream]?.setEncoding("utf8").on("data", (chunk: string) => {
        this.#text[stream] += chunk;
        for (const check of this.#waiting) check();
      });
    }
    const { input } = options;
    this.child.stdin?.on("error", () => undefined);
    if (typeof input === "string" || Buffer.isBuffer(input)) this.child.stdin?.end(input);
    const timer = setTimeout(() => this.child.kill("SIGKILL"), LIMIT_MS);
    const { promise, resolve } = Promise.withResolvers<CliResult>();
    this.child.on("close", (code, signal) => {
      clearTimeout(timer);
      for (const check of this.#waiting) check();
      resolve({ code, signal, ...this.#text });
    });
    this.exited = promise;
  }

  get pid(): number {
    return this.child.pid ?? Number.NaN;
  }

  type(text: string): void {
    this.child.stdin?.write(`${JSON.stringify({ type: text })}\n`);
  }

  resize(rows: number, columns: number): void {
    this.child.stdin?.write(`${JSON.stringify({ resize: [rows, columns] })}\n`);
  }

  /** Resolves once the stream holds `part`, while the command may still run. */
  async saw(stream: "stdout" | "stderr", part: string | RegExp): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const check = (): void => {
      const text = this.#text[stream];
      if (typeof part === "string" ? text.includes(part) : part.test(text)) resolve();
      else if (this.child.exitCode !== null || this.child.signalCode !== null)
        reject(new Error(`the command ended without ${String(part)} on ${stream}: ${JSON.stringify(this.#text)}`));
    };
    this.#waiting.add(check);
    check();
    await promise;
    this.#waiting.delete(check);
  }
}

export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return await new CliProcess(args, options).exited;
}
