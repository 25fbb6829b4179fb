import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "../sandbox/channel/connection.ts";
import { FRAME } from "../sandbox/channel/frames.ts";
import type { RunningProcess } from "../sandbox/process.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { finish, sendBytes, takeInput } from "./answer.ts";
import type { OutputLog } from "./output-log.ts";
import type { KeeperRequest } from "./protocol.ts";

/** A command whose client went away has this long after TERM. */
const TERM_MS = 250;

type ExecRequest = Extract<KeeperRequest, { op: "exec" }>;

/**
 * Runs one command for a client: data is its standard input, `end` closes it, controls signal and resize; a client that
 * goes away ends it.
 */
export async function runExec(
  connection: Connection,
  request: ExecRequest,
  sandbox: Sandbox,
  log: OutputLog,
): Promise<void> {
  connection.pause();
  const process = await sandbox.startProcess({
    argv: request.argv,
    stdin: true,
    liveBytes: null,
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    ...(request.env === undefined ? {} : { env: request.env }),
    ...(request.pty === undefined ? {} : { pty: request.pty }),
    ...(request.timeout_ms === undefined ? {} : { deadlineMs: request.timeout_ms }),
    onOutput: (stream, chunk) => {
      log.push(chunk);
      return sendBytes(connection, stream === "stdout" ? FRAME.stdout : FRAME.stderr, chunk);
    },
  });
  steer(connection, process, sandbox);
  connection.resume();
  const result = await process.done;
  await sandbox.files.snapshot().catch(() => undefined);
  finish(connection, {
    ended: result.ended,
    exit_code: result.report?.exit_code ?? null,
    signal: result.report?.signal ?? null,
    error: result.error?.toJSON() ?? null,
  });
}

/** Signals go by a request of their own: they must arrive while input waits for a command that does not read it. */
function steer(connection: Connection, process: RunningProcess, sandbox: Sandbox): void {
  const signalGroup = (name: string): Promise<void> => sandbox.signalProcess(process.pid, name).catch(() => undefined);
  const end = async (): Promise<void> => {
    await signalGroup("TERM");
    await Promise.race([process.done, sleep(TERM_MS)]);
    await signalGroup("KILL");
  };
  takeInput(connection, {
    data: (chunk) => process.write(chunk),
    end: () => process.closeStdin(),
    control: (control) => {
      const { op, signal, rows, cols } = control;
      if (op === "signal" && typeof signal === "string") void signalGroup(signal);
      if (op === "resize" && typeof rows === "number" && typeof cols === "number") process.resize(rows, cols);
    },
    closed: () => void end(),
  });
  if (connection.closed) void end();
}
