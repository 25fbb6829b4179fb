import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

export interface ConnectionLimits {
  /** In all. One network has half of them at most. */
  readonly most: number;
  /** A connection on which no token has come is closed when it has been idle for so long after an answer. */
  readonly strangerIdleMs: number;
}

interface Connection {
  readonly network: Network;
  /** In progress. */
  requests: number;
  hasAnswered: boolean;
  /** A token has come on it. */
  isKnown: boolean;
}

interface Network {
  readonly name: string;
  count: number;
  /** The longest idle first, as in all sets here. */
  readonly idle: Set<Socket>;
}

const SWEEP_MS = 1000;

/**
 * Which connections stay when there are many: nobody is kept out by connections on which nothing happens. What is idle
 * gives way to what comes, at first that of the same network, then the longest idle; what has a request in progress
 * stays.
 */
export class Connections implements Disposable {
  readonly #limits: ConnectionLimits;
  readonly #held = new Map<Socket, Connection>();
  readonly #networks = new Map<string, Network>();
  readonly #idleStrangers = new Map<Socket, number>();
  readonly #idleKnown = new Map<Socket, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(server: HttpServer, limits: ConnectionLimits) {
    this.#limits = limits;
    server.on("connection", (socket: Socket) => this.#admit(socket));
    server.on("request", (request: IncomingMessage, response: ServerResponse) => this.#begin(request.socket, response));
    server.once("close", () => this[Symbol.dispose]());
    this.#timer = setInterval(() => this.#sweep(), Math.min(SWEEP_MS, limits.strangerIdleMs)).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** A token that is valid has come on it. */
  know(socket: Socket): void {
    const connection = this.#held.get(socket);
    if (connection !== undefined) connection.isKnown = true;
  }

  #admit(socket: Socket): void {
    const network = this.#network(readNetwork(socket.remoteAddress));
    const mayCome =
      (network.count < this.#limits.most / 2 || this.#drop(network.idle)) &&
      (this.#held.size < this.#limits.most ||
        this.#drop(this.#idleStrangers.keys()) ||
        this.#drop(this.#idleKnown.keys()));
    if (!mayCome) {
      if (network.count === 0) this.#networks.delete(network.name);
      socket.destroy();
      return;
    }
    network.count += 1;
    this.#held.set(socket, { network, requests: 0, hasAnswered: false, isKnown: false });
    // Dropping the last connection of a network forgets it.
    this.#networks.set(network.name, network);
    this.#rest(socket);
    socket.once("close", () => this.#forget(socket));
  }

  #network(name: string): Network {
    return this.#networks.get(name) ?? { name, count: 0, idle: new Set() };
  }

  #begin(socket: Socket, response: ServerResponse): void {
    const connection = this.#held.get(socket);
    if (connection === undefined) return;
    connection.requests += 1;
    this.#wake(socket, connection);
    response.once("close", () => {
      connection.requests -= 1;
      connection.hasAnswered = true;
      if (connection.requests === 0) this.#rest(socket);
    });
  }

  #rest(socket: Socket): void {
    const connection = this.#held.get(socket);
    if (connection === undefined) return;
    connection.network.idle.add(socket);
    (connection.isKnown ? this.#idleKnown : this.#idleStrangers).set(socket, performance.now());
  }

  #wake(socket: Socket, { network }: Connection): void {
    network.idle.delete(socket);
    this.#idleStrangers.delete(socket);
    this.#idleKnown.delete(socket);
  }

  /** Closes the first of them; false when there is none. */
  #drop(idle: Iterable<Socket>): boolean {
    for (const socket of idle) {
      this.#forget(socket);
      socket.destroy();
      return true;
    }
    return false;
  }

  #forget(socket: Socket): void {
    const connection = this.#held.get(socket);
    if (connection === undefined) return;
    this.#held.delete(socket);
    this.#wake(socket, connection);
    const { network } = connection;
    network.count -= 1;
    if (network.count === 0) this.#networks.delete(network.name);
  }

  /** What has asked nothing yet is cut by the time for its head. */
  #sweep(): void {
    const oldest = performance.now() - this.#limits.strangerIdleMs;
    for (const [socket, since] of this.#idleStrangers) {
      if (since > oldest) return;
      if (this.#held.get(socket)?.hasAnswered === true) this.#drop([socket]);
    }
  }
}

/** An address of version 6 stands for its /64: whoever has one address of it has all of them. */
export function readNetwork(address = ""): string {
  return address.includes(":") && !address.includes(".") ? address.split(":").slice(0, 4).join(":") : address;
}
