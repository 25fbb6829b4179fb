import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { PaddockError } from "../../errors/error.ts";
import { PatientTimer } from "../../lib/patient-timer.ts";
import { Connection } from "./connection.ts";
import { readControl } from "./control.ts";
import { breach, FRAME, PROTOCOL_VERSION } from "./frames.ts";
import { clearDeadSocket } from "./listening-socket.ts";
import { StreamMux } from "./stream-mux.ts";
import { Tunnel } from "./tunnel.ts";

const MAX_CONNECTIONS = 64;
/** Of the supervisor's 32 connections for calls two are left to pings, cancels and signals. */
const MAX_ORDINARY_CALLS = 30;
const HANDSHAKE_SLOTS = 4;
const HANDSHAKE_MS = 1000;
const STRIKES = 10;
const STRIKE_WINDOW_MS = 10_000;
const PARTIAL_FRAME_MS = 10_000;
const PARTIAL_CHECK_MS = 2000;

const Proof = z.strictObject({
  op: z.literal("proof"),
  mac: z.string().regex(/^[0-9a-f]{64}$/),
  role: z.enum(["call", "relay"]),
  call: z.string().max(64).optional(),
});

/** `control` is answered at once and may use the connections that no other call gets. */
export type CallKind = "ordinary" | "control";

interface Waiter {
  readonly kind: CallKind;
  readonly resolve: (connection: Connection) => void;
}

export interface ChannelEvents {
  /** A tunnel to the egress proxy, opened on behalf of `callId` (reported by the supervisor). */
  relay(tunnel: Tunnel, callId: string): void;
  /** The protocol was broken; the sandbox must be killed. Called once. */
  breach(error: Error): void;
}

/**
 * The host's end of one sandbox: what dials come from a listening socket, or from a multiplexed stream. Unauthenticated
 * dials have few slots, little time and a budget of failures, because any guest process can dial; authenticated
 * connections wait here until a call takes one.
 */
export class Channel implements AsyncDisposable {
  #server: Server | undefined;
  #mux: StreamMux | undefined;
  readonly #key: Buffer;
  readonly #events: ChannelEvents;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();
  /** Taken by ordinary calls. */
  readonly #ordinary = new Set<Connection>();
  readonly #waiters: Waiter[] = [];
  readonly #strikes: number[] = [];
  readonly #partialCheck: NodeJS.Timeout;
  #handshakes = 0;
  #broken = false;
  /** The sandbox stands still, so nothing of it can be late. */
  #suspended = false;
  #isHeldUp: () => boolean = () => false;
  #checkedAt = performance.now();

  private constructor(key: string, events: ChannelEvents) {
    this.#key = Buffer.from(key, "hex");
    this.#events = events;
    this.#partialCheck = setInterval(() => this.#checkPartialFrames(), PARTIAL_CHECK_MS);
    this.#partialCheck.unref();
  }

  /**
   * Listens at `<folder>/host.sock`. The driver hands the socket to the sandbox's uid. A socket that a dead owner left
   * there is replaced by one with the same owner and mode, so that a living supervisor finds it; one that is listened
   * on is an error.
   */
  static async listen(folder: string, key: string, events: ChannelEvents): Promise<Channel> {
    const path = join(folder, "host.sock");
    const giveOwner = await clearDeadSocket(path);
    const channel = new Channel(key, events);
    const server = createServer((socket) => channel.#accept(socket));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(path, resolve);
    try {
      await promise;
      giveOwner();
    } catch (error) {
      await channel[Symbol.asyncDispose]();
      throw error;
    }
    server.off("error", reject);
    server.on("error", () => undefined);
    channel.#server = server;
    return channel;
  }

  /** Serves a supervisor that dials over one stream, its standard input and output. */
  static over(stream: Duplex, key: string, events: ChannelEvents): Channel {
    const channel = new Channel(key, events);
    channel.attach(stream);
    return channel;
  }

  /** Takes dials from `stream` from now on, and from nowhere else: a listening socket is closed. */
  attach(stream: Duplex): void {
    this.#stopListening();
    this.#mux = new StreamMux(stream, {
      opened: (virtual) => this.#accept(virtual),
      breach: (error) => this.#break(error),
    });
  }

  /** Nothing counts as late until `resume`. */
  suspend(): void {
    this.#suspended = true;
  }

  resume(): void {
    this.#suspended = false;
    this.#mux?.forgetPartial();
    for (const connection of this.#all) connection.forgetPartial();
  }

  /** What tells that the supervisor is slow for reasons of the machine. */
  watchBy(isHeldUp: () => boolean): void {
    this.#isHeldUp = isHeldUp;
  }

  /** A limit on the supervisor's time. */
  limit(limitMs: number, expire: () => void): PatientTimer {
    return new PatientTimer(limitMs, () => this.#suspended || this.#isHeldUp(), expire);
  }

  /**
   * An idle connection; waits for one at most `timeoutMs`, then `supervisor_lost`, or `capacity` where other calls have
   * all.
   */
  async take(timeoutMs: number, kind: CallKind = "ordinary"): Promise<Connection> {
    for (;;) {
      const connection = await this.#awaitConnection(timeoutMs, kind);
      if (!connection.closed) return connection;
      this.forget(connection);
    }
  }

  async #awaitConnection(timeoutMs: number, kind: CallKind): Promise<Connection> {
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    const waiter = { kind, resolve };
    this.#waiters.push(waiter);
    this.#serveWaiters();
    if (!this.#waiters.includes(waiter)) return await promise;
    using _ = this.limit(timeoutMs, () => {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      reject(this.#mayHave(kind) ? offeredNone(timeoutMs) : allTaken());
    });
    return await promise;
  }

  #mayHave(kind: CallKind): boolean {
    return kind === "control" || this.#ordinary.size < MAX_ORDINARY_CALLS;
  }

  #serveWaiters(): void {
    while (this.#idle.length > 0) {
      const control = this.#waiters.findIndex(({ kind }) => kind === "control");
      const index = control >= 0 ? control : this.#waiters.findIndex(({ kind }) => this.#mayHave(kind));
      const [waiter] = index >= 0 ? this.#waiters.splice(index, 1) : [];
      const connection = waiter && this.#idle.shift();
      if (!connection) return;
      if (waiter.kind === "ordinary") this.#ordinary.add(connection);
      waiter.resolve(connection);
    }
  }

  /** Gives a connection back after a call. */
  giveBack(connection: Connection): void {
    this.#ordinary.delete(connection);
    if (connection.closed) return;
    connection.setSink({
      frame: () => {
        throw breach("a frame came on an idle connection");
      },
      closed: () => this.forget(connection),
    });
    this.#idle.push(connection);
    this.#serveWaiters();
  }

  /** Drops a connection that broke, wherever it was. */
  forget(connection: Connection): void {
    this.#all.delete(connection);
    this.#ordinary.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
    this.#serveWaiters();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#partialCheck);
    this.#stopListening();
    this.#mux?.destroy();
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
    this.#idle.length = 0;
  }

  #stopListening(): void {
    if (this.#server?.listening) this.#server.close();
  }

  #accept(socket: Duplex): void {
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
      timer[Symbol.dispose]();
      this.#handshakes -= 1;
      return true;
    };
    const fail = (why: string): void => {
      if (!settle()) return;
      connection.destroy();
      this.#strike(why);
    };
    const timer = this.limit(HANDSHAKE_MS, () => fail("no proof in time"));
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
    connection.sendControl({ op: "challenge", protocol: PROTOCOL_VERSION, nonce });
  }

  #proves(proof: z.infer<typeof Proof>, nonce: string): boolean {
    const text = `paddock/${PROTOCOL_VERSION}\n${nonce}\n${proof.role}\n${proof.call ?? ""}`;
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
    this.#mux?.destroy();
    this.#events.breach(error);
  }

  /** A check that comes late, or while the supervisor is held up, gives every incomplete frame its time again. */
  #checkPartialFrames(): void {
    const now = performance.now();
    const wasLate = now - this.#checkedAt > 2 * PARTIAL_CHECK_MS;
    this.#checkedAt = now;
    const parts = [...this.#all, ...(this.#mux ? [this.#mux] : [])];
    const late = parts.filter(({ partialSince }) => (partialSince ?? now) < now - PARTIAL_FRAME_MS);
    if (late.length === 0 || this.#suspended) return;
    if (wasLate || this.#isHeldUp()) for (const part of late) part.forgetPartial();
    else this.#break(breach("a frame stayed incomplete for 10 s"));
  }
}

function offeredNone(timeoutMs: number): PaddockError {
  return new PaddockError("supervisor_lost", `the supervisor offered no connection for ${timeoutMs} ms`);
}

function allTaken(): PaddockError {
  return new PaddockError("capacity", `${MAX_ORDINARY_CALLS} calls of this sandbox run already`, {
    hint: "Let one of them end, or take what it sends.",
  });
}
