import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import { Connection, readControl } from "./connection.ts";
import { breach, FRAME } from "./frames.ts";
import { Tunnel } from "./tunnel.ts";

const MAX_CONNECTIONS = 64;
const HANDSHAKE_SLOTS = 4;
const HANDSHAKE_MS = 1000;
const STRIKES = 10;
const STRIKE_WINDOW_MS = 10_000;
const PARTIAL_FRAME_MS = 10_000;

const Proof = z.strictObject({
  op: z.literal("proof"),
  mac: z.string().regex(/^[0-9a-f]{64}$/),
  role: z.enum(["call", "relay"]),
  call: z.string().max(64).optional(),
});

export interface ChannelEvents {
  /** A tunnel to the egress proxy, opened on behalf of `callId` (reported by the supervisor). */
  relay(tunnel: Tunnel, callId: string): void;
  /** The protocol was broken; the sandbox must be killed. Called once. */
  breach(error: Error): void;
}

/**
 * The listening end of one sandbox. Unauthenticated dials have few slots, little time and a budget of failures,
 * because any guest process can dial; authenticated connections wait here until a call takes one.
 */
export class Channel implements AsyncDisposable {
  readonly #server: Server;
  readonly #key: Buffer;
  readonly #events: ChannelEvents;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();
  readonly #waiters: ((connection: Connection) => void)[] = [];
  readonly #strikes: number[] = [];
  readonly #partialCheck: NodeJS.Timeout;
  #handshakes = 0;
  #broken = false;

  private constructor(server: Server, key: string, events: ChannelEvents) {
    this.#server = server;
    this.#key = Buffer.from(key, "hex");
    this.#events = events;
    this.#partialCheck = setInterval(() => this.#checkPartialFrames(), 2000);
    this.#partialCheck.unref();
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** Listens at `<folder>/host.sock`. The driver hands the socket to the sandbox's uid. */
  static async listen(folder: string, key: string, events: ChannelEvents): Promise<Channel> {
    const server = createServer({ pauseOnConnect: false });
    const channel = new Channel(server, key, events);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(join(folder, "host.sock"), resolve);
    await promise;
    server.off("error", reject);
    server.on("error", () => undefined);
    return channel;
  }

  /** An idle connection; waits for one at most `timeoutMs`, then `supervisor_lost`. */
  async take(timeoutMs: number): Promise<Connection> {
    for (;;) {
      const connection = this.#idle.shift();
      if (connection === undefined) break;
      if (!connection.closed) return connection;
    }
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    const timer = setTimeout(() => {
      this.#waiters.splice(this.#waiters.indexOf(resolve), 1);
      reject(new PaddockError("supervisor_lost", `the supervisor offered no connection for ${timeoutMs} ms`));
    }, timeoutMs);
    this.#waiters.push(resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives a connection back after a call. */
  giveBack(connection: Connection): void {
    if (connection.closed) return;
    connection.setSink({
      frame: () => {
        throw breach("a frame came on an idle connection");
      },
      closed: () => this.forget(connection),
    });
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#idle.push(connection);
    else waiter(connection);
  }

  /** Drops a connection that broke, wherever it was. */
  forget(connection: Connection): void {
    this.#all.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#partialCheck);
    this.#stopListening();
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
    this.#idle.length = 0;
  }

  #stopListening(): void {
    if (this.#server.listening) this.#server.close();
  }

  #accept(socket: Socket): void {
    if (this.#broken || this.#handshakes >= HANDSHAKE_SLOTS || this.#all.size >= MAX_CONNECTIONS + HANDSHAKE_SLOTS) {
      socket.destroy();
      this.#strike("too many connections at once");
      return;
    }
    this.#handshakes += 1;
    const nonce = randomBytes(16).toString("hex");
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      clearTimeout(timer);
      this.#handshakes -= 1;
      return true;
    };
    const fail = (why: string): void => {
      if (!settle()) return;
      connection.destroy();
      this.#strike(why);
    };
    const timer = setTimeout(() => fail("no proof in time"), HANDSHAKE_MS);
    const connection: Connection = new Connection(
      socket,
      {
        frame: (frame) => {
          const proof = frame.type === FRAME.control ? Proof.safeParse(readControl(frame)) : undefined;
          if (!proof?.success || !this.#proves(proof.data, nonce)) return fail("a wrong proof");
          if (settle()) this.#admit(connection, proof.data);
        },
        closed: () => {
          this.#all.delete(connection);
          fail("closed before the proof");
        },
      },
      (error) => (settled ? this.#break(error) : fail("garbage instead of a proof")),
    );
    this.#all.add(connection);
    connection.sendControl({ op: "challenge", protocol: 1, nonce });
  }

  #proves(proof: z.infer<typeof Proof>, nonce: string): boolean {
    const text = `paddock/1\n${nonce}\n${proof.role}\n${proof.call ?? ""}`;
    const expected = createHmac("sha256", this.#key).update(text).digest();
    return timingSafeEqual(expected, Buffer.from(proof.mac, "hex"));
  }

  #admit(connection: Connection, proof: z.infer<typeof Proof>): void {
    if (this.#all.size > MAX_CONNECTIONS) {
      connection.destroy();
      return;
    }
    connection.sendControl({ op: "welcome" });
    if (proof.role === "call") {
      this.giveBack(connection);
      return;
    }
    const tunnel = new Tunnel(connection, { ownsConnection: true, onClosed: () => this.forget(connection) });
    this.#events.relay(tunnel, (proof.call ?? "").split(".", 1)[0] ?? "");
  }

  #strike(why: string): void {
    if (this.#broken) return;
    const now = performance.now();
    this.#strikes.push(now);
    while ((this.#strikes[0] ?? now) < now - STRIKE_WINDOW_MS) this.#strikes.shift();
    if (this.#strikes.length >= STRIKES) this.#break(breach(`${STRIKES} failed dials within 10 s, the last: ${why}`));
  }

  #break(error: Error): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#stopListening();
    this.#events.breach(error);
  }

  #checkPartialFrames(): void {
    const oldest = performance.now() - PARTIAL_FRAME_MS;
    for (const connection of this.#all) {
      if ((connection.partialSince ?? oldest) < oldest) this.#break(breach("a frame stayed incomplete for 10 s"));
    }
  }
}
