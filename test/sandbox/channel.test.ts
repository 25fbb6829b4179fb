import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Call } from "../../src/sandbox/call.ts";
import { Channel } from "../../src/sandbox/channel/channel.ts";
import { readControl } from "../../src/sandbox/channel/control.ts";
import { encodeControl, encodeHeader, FRAME, type Frame, FrameParser } from "../../src/sandbox/channel/frames.ts";
import { DONE, ProcessDone } from "../../src/sandbox/channel/messages.ts";
import type { Tunnel } from "../../src/sandbox/channel/tunnel.ts";
import { SandboxFiles } from "../../src/sandbox/files.ts";
import { RunCollector } from "../../src/sandbox/process.ts";
import type { Request } from "../../src/sandbox/request.ts";

const KEY = "00112233445566778899aabbccddeeff";
let folder = "";
let channel: Channel;
let breaches: Error[];
let relays: { tunnel: Tunnel; callId: string }[];
let broken: PromiseWithResolvers<Error>;
const sockets: Socket[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "paddock-channel-"));
  breaches = [];
  relays = [];
  broken = Promise.withResolvers();
  channel = await Channel.listen(folder, KEY, {
    relay: (tunnel, callId) => void relays.push({ tunnel, callId }),
    breach: (error) => {
      breaches.push(error);
      broken.resolve(error);
    },
  });
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await channel[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** The sandbox's end of one connection, speaking the wire protocol by hand. */
class Peer {
  readonly socket: Socket;
  readonly #parser = new FrameParser();
  readonly #frames: Frame[] = [];
  readonly #waiting: ((frame: Frame) => void)[] = [];

  constructor() {
    this.socket = connect(join(folder, "host.sock"));
    this.socket.on("error", () => undefined);
    sockets.push(this.socket);
    this.socket.on("data", (chunk) => {
      this.#parser.push(chunk);
      for (let frame = this.#parser.next(); frame; frame = this.#parser.next()) {
        const waiter = this.#waiting.shift();
        if (waiter) waiter(frame);
        else this.#frames.push(frame);
      }
    });
  }

  async next(): Promise<Frame> {
    const ready = this.#frames.shift();
    if (ready) return ready;
    return await new Promise((resolve) => this.#waiting.push(resolve));
  }

  async prove(key: string, role: string, call?: string): Promise<void> {
    const challenge = readControl(await this.next());
    const text = `paddock/1\n${String(challenge["nonce"])}\n${role}\n${call ?? ""}`;
    const mac = createHmac("sha256", Buffer.from(key, "hex")).update(text).digest("hex");
    this.send({ op: "proof", mac, role, ...(call === undefined ? {} : { call }) });
  }

  send(message: object): void {
    this.socket.write(encodeControl(message));
  }
}

test("channel - a dial with the right key becomes an idle connection that carries a call", async () => {
  const peer = new Peer();
  await peer.prove(KEY, "call");
  expect(readControl(await peer.next()).op).toBe("welcome");
  const call = new Call(channel, await channel.take(1000), { op: "ping" }, DONE.empty, {}, "c1");
  expect(readControl(await peer.next())).toMatchObject({ op: "ping", call: "c1" });
  peer.send({ op: "done" });
  await call.done;
  expect(readControl(await peer.next()).op).toBe("release");
  expect(await channel.take(1000)).toBeDefined();
});

test("channel - a dial with a wrong key is closed and never handed a call", async () => {
  const peer = new Peer();
  await peer.prove("ffffffffffffffffffffffffffffffff", "call");
  await once(peer.socket, "close");
  await expect(channel.take(50)).rejects.toMatchObject({ code: "supervisor_lost" });
  expect(breaches).toEqual([]);
});

test("channel - the tenth failed dial within 10 s is a breach and ends the listening", async () => {
  for (let i = 0; i < 10; i++) {
    const peer = new Peer();
    await once(peer.socket, "connect");
    peer.socket.destroy();
    await once(peer.socket, "close");
  }
  expect((await broken.promise).message).toMatch(/10 failed dials/);
  const late = new Peer();
  const [error] = await once(late.socket, "error");
  expect(String(error)).toMatch(/ENOENT|ECONNREFUSED/);
});

test("channel - silent dials are closed after a second and cannot hold more than four slots", async () => {
  const peers = Array.from({ length: 5 }, () => new Peer());
  const closed = peers.map(async (peer) => {
    await once(peer.socket, "close");
    return performance.now();
  });
  const begun = performance.now();
  const times = await Promise.all(closed);
  const waits = times.map((time) => time - begun).sort((a, b) => a - b);
  expect(waits[0]).toBeLessThan(500);
  expect(waits[4]).toBeGreaterThan(800);
});

test("channel - garbage after the handshake is a breach that names the cause", async () => {
  const peer = new Peer();
  await peer.prove(KEY, "call");
  await peer.next();
  peer.socket.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  expect((await broken.promise).message).toMatch(/frame/);
});

test("channel - a flood of tiny frames is a breach before it keeps the host busy", async () => {
  const peer = new Peer();
  await peer.prove(KEY, "call");
  await peer.next();
  const call = new Call(
    channel,
    await channel.take(1000),
    { op: "start" },
    DONE.empty,
    { event: () => undefined },
    "c1",
  );
  await peer.next();
  peer.socket.write(Buffer.concat(Array.from({ length: 25_000 }, () => encodeControl({ op: "gap" }))));
  await expect(call.done).rejects.toMatchObject({ code: "protocol_error" });
  expect(breaches[0]?.message).toMatch(/too many frames/);
});

test("channel - a message that does not fit its closed schema is a breach", async () => {
  const peer = new Peer();
  await peer.prove(KEY, "call");
  await peer.next();
  const call = new Call(channel, await channel.take(1000), { op: "ping" }, DONE.empty, {}, "c1");
  await peer.next();
  peer.send({ op: "done", extra: 1 });
  await expect(call.done).rejects.toMatchObject({ code: "protocol_error" });
  expect(breaches).toHaveLength(1);
});

test("channel - a relay dial becomes a tunnel with half-close, attributed to its call", async () => {
  const peer = new Peer();
  await peer.prove(KEY, "relay", "call_7");
  expect(readControl(await peer.next()).op).toBe("welcome");
  const relay = relays[0];
  expect(relay?.callId).toBe("call_7");
  peer.socket.write(Buffer.concat([encodeHeader(FRAME.data, 5), Buffer.from("hello"), encodeHeader(FRAME.end, 0)]));
  const received: Buffer[] = [];
  for await (const chunk of relay?.tunnel ?? []) received.push(chunk as Buffer);
  expect(Buffer.concat(received).toString()).toBe("hello");
  relay?.tunnel.end("bye");
  expect((await peer.next()).payload.toString()).toBe("bye");
  expect((await peer.next()).type).toBe(FRAME.end);
});

test("channel - a connection that closes as soon as it is there is not handed out", async () => {
  const taken = channel.take(3000);
  const first = new Peer();
  await first.prove(KEY, "call");
  first.socket.destroy();
  const second = new Peer();
  await second.prove(KEY, "call");
  expect(await taken.then(({ closed }) => closed)).toBe(false);
});

test("channel - a call on a connection that has closed meanwhile is lost at once", async () => {
  const peer = new Peer();
  await peer.prove(KEY, "call");
  const connection = await channel.take(3000);
  connection.destroy();
  await expect(new Call(channel, connection, { op: "ping" }, DONE.empty, {}, "c").done).rejects.toMatchObject({
    code: "supervisor_lost",
  });
});

const EMPTY_STREAM = { bytes: 0, dropped: 0, spill: null };
const EXITED = {
  op: "done",
  reason: "exit",
  exit_code: 0,
  signal: null,
  user_us: 0,
  system_us: 0,
  max_rss_bytes: 0,
  duration_us: 0,
  stdout: EMPTY_STREAM,
  stderr: EMPTY_STREAM,
  killed: 0,
  survivors: 0,
  shared: false,
};
const makeSpill = (path: string) => ({ path, bytes: 1, sha256: "0".repeat(64) });
const STARTED = { op: "started", pid: 7, relay_port: 0 };

/** A supervisor that guest code has taken over, at the other end of one call. */
async function takeCall(): Promise<Peer> {
  const peer = new Peer();
  await peer.prove(KEY, "call");
  expect(readControl(await peer.next()).op).toBe("welcome");
  return peer;
}

test.each([
  ["an exit before the start", [EXITED], /ended before it was announced/],
  ["a second start", [STARTED, STARTED], /a second time/],
  [
    "a spill outside of the workspace",
    [STARTED, { ...EXITED, stdout: { ...EMPTY_STREAM, spill: makeSpill("../../x") } }],
    /spill.path/,
  ],
  [
    "an absolute spill",
    [STARTED, { ...EXITED, stderr: { ...EMPTY_STREAM, spill: makeSpill("/etc/x") } }],
    /spill.path/,
  ],
])("channel - %s is a breach", async (_title, messages, expected) => {
  const peer = await takeCall();
  const call = new Call(
    channel,
    await channel.take(1000),
    { op: "start" },
    ProcessDone,
    new RunCollector({}).sinks(false),
    "c1",
  );
  await peer.next();
  for (const message of messages) peer.send(message);
  expect((await broken.promise).message).toMatch(expected);
  await expect(call.done).rejects.toThrow();
});

test.each(["../../../published/x", "/etc/passwd", "a/../b", "a//b", "./a", "", "a\0b"])(
  "channel - a change at %j is a breach",
  async (path) => {
    const peer = await takeCall();
    const request: Request = async (fields, schema, sinks) =>
      new Call(channel, await channel.take(1000), fields, schema, sinks ?? {}, "c1");
    const diff = new SandboxFiles(request).diff();
    await peer.next();
    const line = `${JSON.stringify({ kind: "created", path, type: "file", size: 1, sha256: null, files: null })}\n`;
    peer.socket.write(Buffer.concat([encodeHeader(FRAME.data, line.length), Buffer.from(line)]));
    peer.send({ op: "done", entries: 1, more: 0 });
    expect((await broken.promise).message).toMatch(/path/);
    await expect(diff).rejects.toThrow();
  },
);
