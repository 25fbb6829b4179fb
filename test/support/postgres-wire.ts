import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { TestPostgres } from "./postgres.ts";

const TYPE_BYTES = 1;
const LENGTH_BYTES = 4;

/** The next commit of a transaction with such a statement. */
interface Loss {
  readonly statement: RegExp;
  readonly lost: () => void;
}

/**
 * A way to a server over TCP on which answers can be lost: the server has done what it was told, and the connection
 * breaks before it says so.
 */
export class PostgresWire implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #loss: Loss | undefined;

  private constructor(server: Server, socketPath: string) {
    this.#server = server;
    server.on("connection", (client) => this.#serve(client, connect(socketPath)));
  }

  static async open(postgres: TestPostgres): Promise<PostgresWire> {
    const server = createServer();
    const wire = new PostgresWire(server, join(postgres.folder, ".s.PGSQL.5432"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return wire;
  }

  /** The same database, this way. */
  makeUrl(databaseUrl: string): string {
    const { port } = this.#server.address() as AddressInfo;
    return `postgres://paddock@127.0.0.1:${port}${new URL(databaseUrl).pathname}`;
  }

  /** Loses the answer to the next commit of a transaction with a statement like this; resolves when it is lost. */
  async lose(statement: RegExp): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#loss = { statement, lost: resolve };
    await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(client: Socket, backend: Socket): void {
    const session = new Session();
    const cut = (): void => {
      client.destroy();
      backend.destroy();
    };
    for (const socket of [client, backend]) {
      this.#sockets.add(socket);
      socket.on("error", cut).on("close", cut);
    }
    client.on("data", (chunk) => {
      session.hear(chunk);
      backend.write(chunk);
    });
    backend.on("data", (chunk) => {
      const isDoomed = this.#loss !== undefined && session.commits(this.#loss.statement);
      const isDone = session.answer(chunk);
      if (!isDoomed) client.write(chunk);
      else if (isDone) {
        cut();
        this.#loss?.lost();
        this.#loss = undefined;
      }
    });
  }
}

/** What one connection has been told and has answered. */
class Session {
  readonly #client = new MessageReader(true);
  readonly #backend = new MessageReader(false);
  /** Texts of prepared statements by their names. */
  readonly #prepared = new Map<string, string>();
  /** Of the present transaction. */
  #statements: string[] = [];
  #isInTransaction = false;

  hear(chunk: Buffer): void {
    for (const { type, body } of this.#client.read(chunk)) {
      if (type === "P") this.#prepared.set(...readStrings(body));
      if (type === "B") this.#statements.push(this.#prepared.get(readStrings(body)[1]) ?? "");
    }
  }

  /** What it was told last makes a transaction with such a statement last. */
  commits(statement: RegExp): boolean {
    const isLast = !this.#isInTransaction || this.#statements.at(-1)?.toLowerCase() === "commit";
    return isLast && this.#statements.some((text) => statement.test(text));
  }

  /** True when it is in no transaction any more. */
  answer(chunk: Buffer): boolean {
    let isDone = false;
    for (const { type, body } of this.#backend.read(chunk)) {
      if (type !== "Z") continue;
      isDone = body.toString("latin1") === "I";
      this.#isInTransaction = !isDone;
      if (isDone) this.#statements = [];
    }
    return isDone;
  }
}

function readStrings(body: Buffer): [string, string] {
  const [first = "", second = ""] = body.toString("utf8").split("\0", 2);
  return [first, second];
}

/** Messages of the protocol: a type, the length of the rest with itself, the rest. A client's first one has no type. */
class MessageReader {
  #isFirst: boolean;
  #held = Buffer.alloc(0);

  constructor(hasStartup: boolean) {
    this.#isFirst = hasStartup;
  }

  *read(chunk: Buffer): Generator<{ readonly type: string; readonly body: Buffer }> {
    this.#held = Buffer.concat([this.#held, chunk]);
    for (;;) {
      const from = this.#isFirst ? 0 : TYPE_BYTES;
      if (this.#held.length < from + LENGTH_BYTES) return;
      const end = from + this.#held.readUInt32BE(from);
      if (this.#held.length < end) return;
      const type = this.#isFirst ? "" : this.#held.toString("latin1", 0, TYPE_BYTES);
      const body = this.#held.subarray(from + LENGTH_BYTES, end);
      this.#held = this.#held.subarray(end);
      this.#isFirst = false;
      yield { type, body };
    }
  }
}
