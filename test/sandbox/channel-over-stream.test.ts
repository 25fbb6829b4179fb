import { createHmac } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duplex, duplexPair } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Call } from "../../src/sandbox/call.ts";
import { Channel } from "../../src/sandbox/channel/channel.ts";
import { readControl } from "../../src/sandbox/channel/control.ts";
import { encodeControl, encodeHeader, FRAME, type Frame, FrameParser } from "../../src/sandbox/channel/frames.ts";
import { DONE } from "../../src/sandbox/channel/messages.ts";

const KEY = "00112233445566778899aabbccddeeff";
let channel: Channel;
let peer: Peer;
let broken: PromiseWithResolvers<Error>;

beforeEach(() => {
  const [ours, theirs] = duplexPair();
  broken = Promise.withResolvers();
  channel = Channel.over(ours, KEY, { relay: (tunnel) => tunnel.destroy(), breach: (error) => broken.resolve(error) });
  peer = new Peer(theirs);
});

afterEach(async () => {
  await channel[Symbol.asyncDispose]();
});

/** The sandbox's end, by hand: frames within the pieces of streams. */
class Peer {
  readonly #stream: Duplex;
  readonly #inner = new Map<number, FrameParser>();
  readonly #heard: { stream: number; frame: Frame | "closed" }[] = [];
  #wake: (() => void) | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const parser = new FrameParser(() => undefined);
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => {
      parser.push(chunk);
      for (let next = parser.next(); next; next = parser.next()) this.#take(next);
      this.#wake?.();
    });
  }

  open(number: number): void {
    this.#inner.set(number, new FrameParser());
    this.#stream.write(encodeControl({ op: "open", stream: number }));
  }

  send(number: number, message: object): void {
    const inner = encodeControl(message);
    this.#stream.write(Buffer.concat([encodeHeader(FRAME.data, inner.length, number), inner]));
  }

  /** The next frame on a stream, or `closed`. */
  async next(number: number): Promise<Frame | "closed"> {
    for (;;) {
      const index = this.#heard.findIndex((one) => one.stream === number);
      if (index >= 0) return (this.#heard.splice(index, 1)[0] as { frame: Frame | "closed" }).frame;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async control(number: number): Promise<Readonly<Record<string, unknown>>> {
    const frame = await this.next(number);
    return frame === "closed" ? { op: "closed" } : readControl(frame);
  }

  async prove(number: number, key: string): Promise<void> {
    const { nonce } = await this.control(number);
    const text = `paddock/1\n${String(nonce)}\ncall\n`;
    const mac = createHmac("sha256", Buffer.from(key, "hex")).update(text).digest("hex");
    this.send(number, { op: "proof", mac, role: "call" });
  }

  #take(frame: Frame): void {
    if (frame.stream === 0) {
      const control = readControl(frame);
      if (control.op === "closed") this.#heard.push({ stream: Number(control["stream"]), frame: "closed" });
      return;
    }
    const inner = this.#inner.get(frame.stream) as FrameParser;
    inner.push(frame.payload);
    for (let next = inner.next(); next; next = inner.next()) this.#heard.push({ stream: frame.stream, frame: next });
  }
}

test("channel over a stream - a stream with the right key becomes an idle connection that carries a call", async () => {
  peer.open(1);
  await peer.prove(1, KEY);
  expect(await peer.control(1)).toEqual({ op: "welcome" });
  const call = new Call(channel, await channel.take(1000), { op: "ping" }, DONE.empty, {}, "c1");
  expect(await peer.control(1)).toEqual({ op: "ping", call: "c1" });
  peer.send(1, { op: "done" });
  await call.done;
  expect(await peer.control(1)).toEqual({ op: "release" });
});

test("channel over a stream - a wrong key is closed, and the tenth is a breach", async () => {
  for (let number = 1; number <= 9; number++) {
    peer.open(number);
    await peer.prove(number, "f".repeat(32));
    expect(await peer.control(number)).toEqual({ op: "closed" });
  }
  peer.open(10);
  await peer.prove(10, "f".repeat(32));
  expect((await broken.promise).message).toMatch(/10 failed dials/);
});

test("channel over a stream - the fifth handshake at once is closed", async () => {
  for (const number of [1, 2, 3, 4, 5]) peer.open(number);
  expect(await peer.control(5)).toEqual({ op: "closed" });
  for (const number of [1, 2, 3, 4]) expect(await peer.control(number)).toMatchObject({ op: "challenge" });
});

test("channel over a stream - garbage within a proven connection is a breach", async () => {
  peer.open(1);
  await peer.prove(1, KEY);
  await peer.next(1);
  await channel.take(1000);
  peer.send(1, { op: 5 });
  expect(await broken.promise).toMatchObject({ code: "protocol_error" });
});

test("channel over a stream - a listening channel that gets a stream stops listening", async () => {
  const folder = mkdtempSync(join(tmpdir(), "paddock-channel-"));
  await using listening = await Channel.listen(folder, KEY, { relay: () => undefined, breach: () => undefined });
  const [ours, theirs] = duplexPair();
  listening.attach(ours);
  const other = new Peer(theirs);
  other.open(1);
  await other.prove(1, KEY);
  expect(await listening.take(1000)).toBeDefined();
  expect(existsSync(join(folder, "host.sock"))).toBe(false);
  rmSync(folder, { recursive: true });
});
