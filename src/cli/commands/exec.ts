import { Command } from "commander";
import { loadConfig } from "../../config/config.ts";
import { findKept, KeeperCall } from "../../keeper/client.ts";
import { say, writeOut } from "../terminal.ts";
import { parseDuration } from "../units.ts";

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

async function exec(name: string, command: readonly string[], options: ExecOptions): Promise<number> {
  const { home } = loadConfig(process.env, process.getuid?.() ?? 0);
  const card = findKept(home.run, name);
  const terminal = options.tty !== false && process.stdin.isTTY === true && process.stdout.isTTY === true;
  const call = new KeeperCall(
    home.run,
    card.sandbox_id,
    {
      op: "exec",
      argv: command.length > 0 ? [...command] : ["/bin/bash", "-i"],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.timeout === undefined ? {} : { timeout_ms: parseDuration(options.timeout, "--timeout") }),
      ...(terminal
        ? {
            pty: { rows: process.stdout.rows, cols: process.stdout.columns },
            env: { TERM: process.env["TERM"] ?? "xterm" },
          }
        : {}),
    },
    { stdout: (chunk) => writeOut(process.stdout, chunk), stderr: (chunk) => writeOut(process.stderr, chunk) },
  );
  using _input = forwardInput(call, terminal);
  const done = await call.done;
  const error = done["error"] as { message: string; hint: string } | null;
  if (error !== null && error !== undefined) say(`${error.message} (${error.hint})`);
  if (typeof done["exit_code"] === "number") return done["exit_code"];
  return done["ended"] === "deadline" ? 124 : 137;
}

/** Standard input, window changes and Ctrl-C go to the command; the terminal is put back whatever happens. */
function forwardInput(call: KeeperCall, terminal: boolean): Disposable {
  const onData = (chunk: Buffer): void => {
    process.stdin.pause();
    call.send(chunk).then(
      () => process.stdin.resume(),
      () => undefined,
    );
  };
  const onEnd = (): void => call.endInput();
  const onResize = (): void => call.control({ op: "resize", rows: process.stdout.rows, cols: process.stdout.columns });
  const onInterrupt = (): void => call.control({ op: "signal", signal: "INT" });
  if (terminal) process.stdin.setRawMode(true);
  process.stdin.on("data", onData).on("end", onEnd);
  process.stdout.on("resize", onResize);
  process.on("SIGINT", onInterrupt);
  return {
    [Symbol.dispose]: () => {
      process.stdin.off("data", onData).off("end", onEnd);
      process.stdin.pause();
      process.stdout.off("resize", onResize);
      process.off("SIGINT", onInterrupt);
      if (terminal) process.stdin.setRawMode(false);
      process.stdin.unref();
    },
  };
}
