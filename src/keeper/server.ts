import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { App } from "../app.ts";
import { PaddockError } from "../errors/error.ts";
import { checkInput } from "../executor/input-check.ts";
import { makeLeasePlace } from "../executor/lease-place.ts";
import type { TaskSink } from "../executor/sinks/task-sink.ts";
import type { StoreRequest } from "../executor/task-artifacts.ts";
import type { Lease } from "../fleet/fleet.ts";
import type { CopyBack, WorkspaceFolder } from "../fleet/workspaces/workspace-folder.ts";
import { replaceFile } from "../lib/atomic-file.ts";
import { identifyProcess } from "../lib/process-identity.ts";
import { TaskInput } from "../model/task.ts";
import { Connection } from "../sandbox/channel/connection.ts";
import { readControl } from "../sandbox/channel/control.ts";
import { FRAME, type Frame } from "../sandbox/channel/frames.ts";
import { fail, finish, sendBytes, takeInput } from "./answer.ts";
import { runExec } from "./exec.ts";
import { OutputLog } from "./output-log.ts";
import { CARD, type KeeperCard, KeeperRequest, type KeptResult } from "./protocol.ts";

/** A control connection has this long to send its request. */
const REQUEST_MS = 5000;
/** After the sandbox's end the last answers have this long to be read. */
const SETTLE_MS = 1000;

/** What stays the same from keeper to keeper. */
export type KeeperTerm = Pick<KeeperCard, "created" | "expires" | "workspace" | "driver">;

type TaskRequest = Extract<KeeperRequest, { op: "task" }>;

/** The control socket of one kept sandbox. Runs tasks and commands in it until it is killed or its time is over. */
export class KeeperServer {
  readonly #app: App;
  readonly #lease: Lease;
  readonly #workspace: WorkspaceFolder | undefined;
  readonly #server: Server;
  readonly #log: OutputLog;
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();
  /** Connections that asked for the end; answered once it came. */
  readonly #killers = new Set<Connection>();
  /** Resolves once when the keeper has to end. */
  readonly ended: Promise<string>;
  readonly #end = Promise.withResolvers<string>();
  #card: KeeperCard | undefined;

  constructor(app: App, lease: Lease, workspace: WorkspaceFolder | undefined) {
    this.#app = app;
    this.#lease = lease;
    this.#workspace = workspace;
    this.#folder = join(app.config.home.run, lease.sandbox.id);
    this.#log = new OutputLog(app.fleet.survivesOwner ? join(this.#folder, "output.ring") : undefined);
    this.ended = this.#end.promise;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Opens the control socket and says so in `run/<id>/keeper.json`. A dead keeper's socket and card are replaced. */
  async listen(term: KeeperTerm): Promise<void> {
    const { sandbox } = this.#lease;
    const path = join(this.#folder, "keeper.sock");
    rmSync(path, { force: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const umask = process.umask(0o177);
    this.#server.once("error", reject);
    this.#server.listen(path, resolve);
    process.umask(umask);
    await promise;
    chmodSync(path, 0o600);
    this.#card = makeCard(this.#lease, term);
    replaceFile(join(this.#folder, CARD), JSON.stringify(this.#card));
    setTimeout(
      () => this.#end.resolve("its time was over"),
      Math.max(0, Date.parse(term.expires) - Date.now()),
    ).unref();
    void sandbox.ended.then(({ detail }) => this.#end.resolve(detail));
  }

  /** No new connections; what runs goes on. */
  close(): void {
    this.#server.close();
  }

  /**
   * Called once the sandbox is gone, or cannot go because of `failure`: gives the last answers and waits a moment for
   * their readers.
   */
  async settle(failure: unknown): Promise<void> {
    for (const connection of this.#killers) {
      if (failure === undefined) finish(connection, {});
      else fail(connection, failure);
    }
    const closed = Promise.all([...this.#sockets].map((socket) => new Promise((done) => socket.once("close", done))));
    await Promise.race([closed, sleep(SETTLE_MS, undefined, { ref: false })]);
    this.#log[Symbol.dispose]();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const timer = setTimeout(() => socket.destroy(), REQUEST_MS);
    const connection: Connection = new Connection(
      socket,
      {
        frame: (frame) => {
          clearTimeout(timer);
          this.#request(connection, frame);
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
        this.#killers.add(connection);
        this.#end.resolve("killed by request");
        return;
      case "task":
        return await this.#task(connection, request);
      case "exec":
        return await runExec(connection, request, this.#lease.sandbox, this.#log);
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

  async #task(connection: Connection, request: TaskRequest): Promise<void> {
    const gone = new AbortController();
    const task = parseTask(await readTaskText(connection, gone));
    let copiedBack: CopyBack | undefined;
    const result = await this.#app.executor.runTask(task, {
      place: makeLeasePlace(this.#lease, {
        beforeClose: async (lease, records) => {
          if (lease.sandbox.end || gone.signal.aborted) return;
          copiedBack = await this.#workspace?.copyBack(lease, records, request.copy_back, gone.signal);
        },
      }),
      signal: gone.signal,
      ...storeOption(request),
      watcher: this.#forwardTo(connection),
    });
    const answer: KeptResult = { result, ...(copiedBack === undefined ? {} : { copied_back: copiedBack }) };
    await sendBytes(connection, FRAME.data, Buffer.from(JSON.stringify(answer)));
    finish(connection, {});
  }

  #forwardTo(connection: Connection): TaskSink {
    return {
      event: (event) => connection.sendControl({ op: "event", event }),
      output: async ({ stream, chunk }) => {
        this.#log.push(chunk);
        await sendBytes(connection, FRAME[stream], chunk);
      },
    };
  }
}

function storeOption({ store }: TaskRequest): { store?: StoreRequest } {
  if (store === undefined) return {};
  return { store: store.prefix === undefined ? {} : { prefix: store.prefix } };
}

function makeCard(lease: Lease, term: KeeperTerm): KeeperCard {
  const keeper = identifyProcess(process.pid);
  if (keeper === undefined) throw new PaddockError("internal", "/proc does not show this process");
  return {
    sandbox_id: lease.sandbox.id,
    node_type: lease.nodeType,
    ...term,
    keeper,
  };
}

function parseTask(text: string): TaskInput {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PaddockError("invalid_request", "the task is no JSON", { cause });
  }
  return checkInput(TaskInput, value, "task");
}

/** The data frames up to `end` as text. From then on a `cancel`, or a client that goes away, aborts `gone`. */
async function readTaskText(connection: Connection, gone: AbortController): Promise<string> {
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  takeInput(connection, {
    data: async (chunk) => void chunks.push(chunk),
    end: resolve,
    control: ({ op }) => {
      if (op === "cancel") gone.abort();
    },
    closed: () => {
      gone.abort();
      resolve();
    },
  });
  await promise;
  return Buffer.concat(chunks).toString("utf8");
}
