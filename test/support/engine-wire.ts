import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { testEngine } from "./engine.ts";

/** The tests' engine at another socket, which can be cut: then nobody listens there, as after a crash of the engine. */
export class EngineWire implements AsyncDisposable {
  readonly host: string;
  readonly #path: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #last: RegExp | undefined;
  #isOver = false;

  private constructor(path: string) {
    this.#path = path;
    this.host = `unix://${path}`;
  }

  static async open(path: string): Promise<EngineWire> {
    rmSync(path, { force: true });
    const wire = new EngineWire(path);
    await wire.mend();
    return wire;
  }

  async mend(): Promise<void> {
    this.#isOver = false;
    this.#server = createServer((socket) => this.#join(socket)).listen(this.#path);
    await once(this.#server, "listening");
  }

  cut(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  /** The next request that matches is the last one: with the one after it the wire is cut. */
  cutAfter(request: RegExp): void {
    this.#last = request;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
  }

  #join(client: Socket): void {
    const engine = connect({ path: testEngine().socket, allowHalfOpen: true });
    client.on("data", (chunk: Buffer) => {
      if (this.#isOver) return this.cut();
      this.#isOver = this.#last?.test(chunk.toString("latin1")) === true;
      if (this.#isOver) this.#last = undefined;
      engine.write(chunk);
    });
    engine.on("data", (chunk) => void client.write(chunk));
    for (const [from, to] of [[client, engine] as const, [engine, client] as const]) {
      this.#sockets.add(from);
      from.on("end", () => to.end());
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
