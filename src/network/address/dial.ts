import { connect, type Socket } from "node:net";
import { type Deadline, raceSignal } from "../../lib/deadline.ts";
import { isSameIp } from "./addresses.ts";

/** Opens a TCP connection to an address literal; the returned socket is still connecting. */
export type Dial = (target: { readonly host: string; readonly port: number }) => Socket;

const HEAD_START_MS = 250;

export const dialAddress: Dial = ({ host, port }) => connect({ host, port, allowHalfOpen: true, noDelay: true });

/**
 * Dials the literals in order, each with a head start over the next; the first to connect wins, the others are closed.
 */
export async function dialFirst(
  addresses: readonly string[],
  port: number,
  dial: Dial,
  deadline: Deadline,
): Promise<Socket> {
  const race = new DialRace(addresses, port, dial);
  try {
    return await raceSignal(race.start(), deadline.signal);
  } catch (thrown) {
    race.abandon();
    throw thrown;
  }
}

class DialRace {
  readonly #waiting: string[];
  readonly #port: number;
  readonly #dial: Dial;
  readonly #connecting = new Set<Socket>();
  readonly #result = Promise.withResolvers<Socket>();
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(addresses: readonly string[], port: number, dial: Dial) {
    this.#waiting = [...addresses];
    this.#port = port;
    this.#dial = dial;
  }

  start(): Promise<Socket> {
    this.#launch();
    return this.#result.promise;
  }

  abandon(): void {
    this.#end();
    this.#result.promise.then(
      (socket) => socket.destroy(),
      () => {},
    );
  }

  #launch(): void {
    const host = this.#waiting.shift();
    if (host === undefined) return;
    const socket = this.#dial({ host, port: this.#port });
    this.#connecting.add(socket);
    socket.once("connect", () => {
      if (isSameIp(socket.remoteAddress ?? "", host)) this.#win(socket);
      else socket.destroy(new Error("connected to another address"));
    });
    // Stays for the socket's life: after the connect an error only has to be harmless, `close` tells the rest.
    socket.on("error", (error) => this.#lose(socket, error));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#launch(), HEAD_START_MS);
  }

  #win(socket: Socket): void {
    this.#connecting.delete(socket);
    this.#end();
    this.#result.resolve(socket);
  }

  #lose(socket: Socket, error: Error): void {
    if (this.#isOver || !this.#connecting.delete(socket)) return;
    if (this.#waiting.length > 0) this.#launch();
    else if (this.#connecting.size === 0) this.#result.reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.#waiting.length = 0;
    clearTimeout(this.#timer);
    for (const loser of this.#connecting) loser.destroy();
  }
}
