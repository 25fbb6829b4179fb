import { spawnSync } from "node:child_process";
import { Command } from "commander";
import { loadConfig } from "../../config/config.ts";
import { ERROR_CODES } from "../../errors/codes.ts";
import { PaddockError } from "../../errors/error.ts";
import { KeeperCall } from "../../keeper/client.ts";
import { reachKept } from "../../keeper/orphans.ts";
import { ExecDone } from "../../keeper/protocol.ts";
import { entryPoint } from "../process/entry.ts";
import { signalExitCode } from "../process/exit-code.ts";
import { outputLost } from "../render/output-loss.ts";
import { say, writeOut } from "../render/terminal.ts";
import { parseDuration } from "../render/units.ts";

interface ExecOptions {
  readonly cwd?: string;
  readonly tty?: boolean;
  readonly timeout?: string;
}

export function execCommand(): Command {
  return new Command("exec")
    .description("run a command, or a shell, in a kept sandbox")
    .argument("<sandbox>", "id or the beginning of it")
    .argument("[command...]", "default: an interactive shell")
    .option("--cwd <path>", "working folder inside")
    .option("--no-tty", "no terminal, even when this is one")
    .option("--timeout <duration>", "end the command after this long")
    .passThroughOptions()
    .action(async (sandbox: string, command: string[], options: ExecOptions) => {
      process.exitCode = await exec(sandbox, command, options);
    });
}

async function exec(name: string, given: readonly string[], options: ExecOptions): Promise<number> {
  const command = given[0] === "--" ? given.slice(1) : given;
  const timeoutMs = options.timeout === undefined ? undefined : parseDuration(options.timeout, "--timeout");
  const { home } = loadConfig(process.env, process.getuid?.() ?? 0);
  const card = await reachKept(home, entryPoint(), name);
  const terminal = options.tty !== false && process.stdin.isTTY === true && process.stdout.isTTY === true;
  const call = new KeeperCall(
    home.run,
    card.sandbox_id,
    {
      op: "exec",
      argv: command.length > 0 ? [...command] : shellFor(terminal),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
      ...(terminal ? { pty: windowSize(), env: { TERM: process.env["TERM"] ?? "xterm" } } : {}),
    },
    { stdout: (chunk) => writeOut(process.stdout, chunk), stderr: (chunk) => writeOut(process.stderr, chunk) },
  );
  outputLost.addEventListener("abort", () => call.abandon(), { once: true });
  using _input = forwardInput(call, terminal);
  const done = ExecDone.parse(await call.done);
  if (done.ended === "deadline" && options.timeout !== undefined)
    say(`the command was ended after ${options.timeout} (--timeout)`);
  return exitCodeOf(done);
}

/** A shell reads commands from a pipe as well; only a terminal makes it interactive. */
function shellFor(terminal: boolean): string[] {
  return terminal ? ["/bin/bash", "-i"] : ["/bin/bash"];
}

function exitCodeOf({ ended, exit_code: code, signal, error }: ExecDone): number {
  if (error !== null) throw new PaddockError(error.code, error.message, { hint: error.hint });
  if (ended === "deadline") return 124;
  if (code !== null) return code;
  return signal === null ? ERROR_CODES.sandbox_lost.exitCode : signalExitCode(signal);
}

function windowSize(): { rows: number; cols: number } {
  return { rows: process.stdout.rows || 24, cols: process.stdout.columns || 80 };
}

/**
 * Node leaves newline translation on, which the terminal inside has already done. `setRawMode(false)` puts all of it
 * back.
 */
function makeRaw(stdin: NodeJS.ReadStream): void {
  stdin.setRawMode(true);
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
}

/**
 * Standard input, window changes and Ctrl-C go to the command; a second Ctrl-C leaves, which ends the command.
 * The terminal is put back whatever happens.
 */
function forwardInput(call: KeeperCall, terminal: boolean): Disposable {
  const { stdin, stdout } = process;
  let interrupted = false;
  const onData = (chunk: Buffer): void => {
    stdin.pause();
    void call.send(chunk).then(() => stdin.resume());
  };
  const onEnd = (): void => call.endInput();
  const onResize = (): void => call.control({ op: "resize", ...windowSize() });
  const onInterrupt = (): void => {
    if (interrupted) call.abandon();
    else call.control({ op: "signal", signal: "INT" });
    interrupted = true;
  };
  if (terminal) makeRaw(stdin);
  stdin.on("data", onData).on("end", onEnd).on("error", onEnd);
  stdout.on("resize", onResize);
  process.on("SIGINT", onInterrupt);
  return {
    [Symbol.dispose]: () => {
      stdin.off("data", onData).off("end", onEnd).off("error", onEnd);
      if (terminal) stdin.setRawMode(false);
      stdin.destroy();
      stdout.off("resize", onResize);
      process.off("SIGINT", onInterrupt);
    },
  };
}
