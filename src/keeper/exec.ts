import type { Connection } from "../sandbox/connection.ts";
import { FRAME } from "../sandbox/frames.ts";
import type { RunningProcess } from "../sandbox/process.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { finish, sendBytes, takeInput } from "./answer.ts";
import type { OutputLog } from "./output-log.ts";
import type { KeeperRequest } from "./protocol.ts";

type ExecRequest = Extract<KeeperRequest, { op: "exec" }>;

/** Runs one command for a client: data is its standard input, `end` closes it, controls signal and resize; a client that goes away ends it. */
export async function runExec(
  connection: Connection,
  request: ExecRequest,
  sandbox: Sandbox,
  log: OutputLog,
): Promise<void> {
  const gone = new AbortController();
  connection.pause();
  const process = await sandbox.startProcess({
    argv: request.argv,
    stdin: true,
    liveBytes: null,
    signal: gone.signal,
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    ...(request.env === undefined ? {} : { env: request.env }),
    ...(request.pty === undefined ? {} : { pty: request.pty }),
    ...(request.timeout_ms === undefined ? {} : { deadlineMs: request.timeout_ms }),
    onOutput: (stream, chunk) => {
      log.push(chunk);
      return sendBytes(connection, stream === "stdout" ? FRAME.stdout : FRAME.stderr, chunk);
    },
  });
  steer(connection, process, gone);
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

function steer(connection: Connection, process: RunningProcess, gone: AbortController): void {
  takeInput(connection, {
    data: (chunk) => process.write(chunk),
    end: () => process.closeStdin(),
    control: (control) => {
      const { op, signal, rows, cols } = control;
      if (op === "signal" && typeof signal === "string") process.signal(signal);
      if (op === "resize" && typeof rows === "number" && typeof cols === "number") process.resize(rows, cols);
    },
    closed: () => gone.abort(),
  });
  if (connection.closed) gone.abort();
}
