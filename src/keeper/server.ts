import { chmodSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { App } from "../app.ts";
import { PaddockError, toPaddockError } from "../errors/error.ts";
import type { TaskEvent } from "../executor/executor.ts";
import type { Lease } from "../fleet/fleet.ts";
import { identifyProcess } from "../lib/process-identity.ts";
import { makeToolCallId } from "../model/ids.ts";
import { TaskInput } from "../model/task.ts";
import { Connection, readControl } from "../sandbox/connection.ts";
import { FRAME, type Frame, MAX_PAYLOAD_BYTES } from "../sandbox/frames.ts";
import type { RunningProcess } from "../sandbox/process.ts";
import { OutputLog } from "./output-log.ts";
import { type KeeperCard, KeeperRequest } from "./protocol.ts";

/** Sleep that a control connection may take to send its request. */
const REQUEST_MS = 5000;

/** The control socket of one kept sandbox. Runs tasks and commands in it until it is killed or its time is over. */
export class KeeperServer {
  readonly #app: App;
  readonly #lease: Lease;
  readonly #server: Server;
  readonly #card: KeeperCard;
  readonly #log = new OutputLog();
  /** Resolves once when the keeper has to end. */
  readonly ended: Promise<string>;
  readonly #end = Promise.withResolvers<string>();

  constructor(app: App, lease: Lease, ttlMs: number) {
    this.#app = app;
    this.#lease = lease;
    this.ended = this.#end.promise;
    const keeper = identifyProcess(process.pid);
    if (keeper === undefined) throw new PaddockError("internal", "/proc does not show this process");
    this.#card = {
      sandbox_id: lease.sandbox.id,
      node_type: lease.nodeType,
      created: new Date().toISOString(),
      expires: new Date(Date.now() + ttlMs).toISOString(),
      keeper,
    };
    this.#server = createServer((socket) => this.#accept(socket));
    setTimeout(() => this.#end.resolve("its time was over"), ttlMs);
    void lease.sandbox.ended.then(({ detail }) => this.#end.resolve(detail));
  }

  async listen(runFolder: string): Promise<void> {
    const folder = join(runFolder, this.#lease.sandbox.id);
    const path = join(folder, "keeper.sock");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const umask = process.umask(0o177);
    this.#server.once("error", reject);
    this.#server.listen(path, resolve);
    process.umask(umask);
    await promise;
    chmodSync(path, 0o600);
    writeFileSync(join(folder, "keeper.json"), JSON.stringify(this.#card), { mode: 0o600 });
  }

  close(): void {
    this.#server.close();
  }

  #accept(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), REQUEST_MS);
    const connection: Connection = new Connection(
      socket,
      {
        frame: (frame) => {
          clearTimeout(timer);
          return this.#request(connection, frame);
        },
        closed: () => clearTimeout(timer),
      },
      () => socket.destroy(),
    );
  }

  #request(connection: Connection, frame: Frame): void {
    const request = frame.type === FRAME.control ? KeeperRequest.safeParse(readControl(frame)) : undefined;
    if (!request?.success) {
      fail(connection, new PaddockError("invalid_request", "a control connection begins with a known request"));
      return;
    }
    this.#serve(connection, request.data).catch((error: unknown) => fail(connection, error));
  }

  async #serve(connection: Connection, request: KeeperRequest): Promise<void> {
    switch (request.op) {
      case "status":
        return await this.#status(connection);
      case "logs":
        await sendBytes(connection, FRAME.stdout, this.#log.read());
        return finish(connection, {});
      case "kill":
        finish(connection, {});
        this.#end.resolve("killed by request");
        return;
      case "task":
        return await this.#task(connection, request.kill_on_output);
      case "exec":
        return await this.#exec(connection, request);
    }
  }

  async #status(connection: Connection): Promise<void> {
    const { sandbox } = this.#lease;
    const status = {
      card: this.#card,
      isolation: sandbox.host.isolation,
      usage: sandbox.usage(),
      processes: await sandbox.processes(),
    };
    await sendBytes(connection, FRAME.data, Buffer.from(JSON.stringify(status)));
    finish(connection, {});
  }

  async #task(connection: Connection, killOnOutput: boolean): Promise<void> {
    const gone = new AbortController();
    const text = await readInput(connection, () => gone.abort());
    const task = TaskInput.parse(JSON.parse(text.toString("utf8")));
    const result = await this.#app.executor.runTask(task, {
      lease: this.#lease,
      signal: gone.signal,
      killOnOutput,
      onEvent: (event) => this.#forward(connection, event),
    });
    await sendBytes(connection, FRAME.data, Buffer.from(JSON.stringify(result)));
    finish(connection, {});
  }

  async #forward(connection: Connection, event: TaskEvent): Promise<void> {
    if (event.type === "output") {
      this.#log.push(event.chunk);
      await sendBytes(connection, event.stream === "stdout" ? FRAME.stdout : FRAME.stderr, event.chunk);
    } else if (event.type !== "call_finished") connection.sendControl({ op: "event", event });
  }

  async #exec(connection: Connection, request: Extract<KeeperRequest, { op: "exec" }>): Promise<void> {
    const gone = new AbortController();
    let process: RunningProcess | undefined;
    connection.setSink({
      frame: (frame) => steer(process, frame),
      closed: () => gone.abort(),
    });
    connection.pause();
    process = await this.#lease.sandbox.startProcess({
      callId: makeToolCallId(),
      argv: request.argv,
      stdin: true,
      liveBytes: null,
      signal: gone.signal,
      ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
      ...(request.env === undefined ? {} : { env: request.env }),
      ...(request.pty === undefined ? {} : { pty: request.pty }),
      ...(request.timeout_ms === undefined ? {} : { deadlineMs: request.timeout_ms }),
      onOutput: (stream, chunk) => {
        this.#log.push(chunk);
        return sendBytes(connection, stream === "stdout" ? FRAME.stdout : FRAME.stderr, chunk);
      },
    });
    connection.resume();
    const result = await process.done;
    await this.#lease.sandbox.files.snapshot().catch(() => undefined);
    finish(connection, {
      ended: result.ended,
      exit_code: result.report?.exit_code ?? null,
      signal: result.report?.signal ?? null,
      error: result.error?.toJSON() ?? null,
    });
  }
}

/** Input of an `exec` connection: data is stdin, `end` closes it, controls signal and resize. */
function steer(process: RunningProcess | undefined, frame: Frame): void | Promise<void> {
  if (process === undefined) return;
  if (frame.type === FRAME.data) return process.write(frame.payload);
  if (frame.type === FRAME.end) return process.closeStdin();
  if (frame.type !== FRAME.control) return;
  const control = readControl(frame);
  if (control.op === "signal" && typeof control["signal"] === "string") process.signal(control["signal"]);
  if (control.op === "resize") process.resize(Number(control["rows"]), Number(control["cols"]));
}

async function readInput(connection: Connection, onGone: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  connection.setSink({
    frame: (frame) => {
      if (frame.type === FRAME.data) chunks.push(frame.payload);
      if (frame.type === FRAME.end) resolve();
    },
    closed: () => {
      onGone();
      resolve();
    },
  });
  await promise;
  return Buffer.concat(chunks);
}

async function sendBytes(connection: Connection, type: 2 | 3 | 4, bytes: Buffer): Promise<void> {
  for (let offset = 0; offset < bytes.length; offset += MAX_PAYLOAD_BYTES) {
    if (!connection.sendBytes(type, bytes.subarray(offset, offset + MAX_PAYLOAD_BYTES))) await connection.drained();
  }
}

function finish(connection: Connection, fields: object): void {
  connection.sendControl({ op: "done", ...fields });
  connection.finish();
}

function fail(connection: Connection, error: unknown): void {
  connection.sendControl({ op: "failed", error: toPaddockError(error).toJSON() });
  connection.finish();
}
