import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer as createHttpServer, type ServerResponse } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import type { EgressProxy } from "../../src/network/proxy/proxy.ts";
import { Connection } from "../../src/sandbox/channel/connection.ts";
import { encodeHeader, FRAME } from "../../src/sandbox/channel/frames.ts";
import { Tunnel } from "../../src/sandbox/channel/tunnel.ts";
import { CALL, startProxy, startServer } from "./harness.ts";

/** The proxy behind real tunnels: what is on its way when a side leaves. */

const MIB = 1024 * 1024;
const frame = (bytes: Buffer | string): Buffer =>
  Buffer.concat([encodeHeader(FRAME.data, bytes.length), Buffer.from(bytes)]);

let count = 0;

/** The supervisor's end of a relay connection to the proxy, and how the host's end closes. */
async function openRelay(proxy: EgressProxy): Promise<{ readonly guest: Socket; readonly closed: Promise<unknown> }> {
  const path = join(tmpdir(), `paddock-relay-${process.pid}-${count++}.sock`);
  const server = createServer().listen(path);
  await once(server, "listening");
  const guest = connect(path);
  const [socket] = (await once(server, "connection")) as [Socket];
  rmSync(path);
  onTestFinished(() => {
    guest.destroy();
    server.close();
  });
  const nothing = (): void => undefined;
  const connection = new Connection(socket, { frame: nothing, closed: nothing }, (error) => guest.destroy(error));
  const tunnel = new Tunnel(connection, { ownsConnection: true, onClosed: nothing });
  proxy.handle(tunnel, CALL);
  return { guest, closed: once(tunnel, "close") };
}

async function openTunnel(proxy: EgressProxy, port: number): ReturnType<typeof openRelay> {
  const relay = await openRelay(proxy);
  relay.guest.write(frame(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`));
  await once(relay.guest, "readable");
  relay.guest.resume();
  return relay;
}

/** An upstream that reads a little at a time, once it is told to. */
async function startSlowUpstream(): Promise<{ readonly port: number; readonly received: () => number; read(): void }> {
  const sockets: Socket[] = [];
  let received = 0;
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    socket
      .on("end", () => socket.end())
      .on("data", (chunk) => {
        received += chunk.length;
        socket.pause();
        setTimeout(() => socket.resume(), 1);
      });
  });
  const read = (): void => sockets.forEach((socket) => void socket.resume());
  return { port: await startServer(server), received: () => received, read };
}

const startLocalProxy = async (port: number, budgets = {}): Promise<EgressProxy> => {
  const trusted = [{ name: "127.0.0.1", port, address: "127.0.0.1" }];
  return (await startProxy(`127.0.0.1:${port}`, { trusted, budgets })).proxy;
};

/** Resolves when nothing moves any more, for the upstream is full. */
async function awaitStall(proxy: EgressProxy): Promise<void> {
  for (let [sent, turns] = [-1, 0]; turns < 200; turns++) {
    await nextTurn();
    const now = proxy.ledger.peek(CALL).egress[0]?.tx_bytes ?? 0;
    if (now !== sent) [sent, turns] = [now, 0];
  }
}

test("relay - what a guest sent before it left reaches a slow upstream, and the call's account waits for it", async () => {
  const upstream = await startSlowUpstream();
  const proxy = await startLocalProxy(upstream.port);
  const { guest, closed } = await openTunnel(proxy, upstream.port);
  upstream.read();
  // The supervisor answers when the kernel has everything.
  const flushed = new Promise<void>((resolve) => guest.end(frame(Buffer.alloc(MIB)), resolve));
  await flushed;
  await proxy.settle(CALL);
  expect(proxy.ledger.close(CALL).egress).toMatchObject([{ tx_bytes: MIB }]);
  await closed;
  await expect.poll(upstream.received).toBe(MIB);
});

test("relay - an upstream that takes nothing is not waited for without end, nor is one that is silent", async () => {
  const upstream = await startSlowUpstream();
  const proxy = await startLocalProxy(upstream.port);
  await openTunnel(proxy, upstream.port);
  await proxy.settle(CALL);
  const { guest } = await openTunnel(proxy, upstream.port);
  for (let part = 0; part < 12; part++) guest.write(frame(Buffer.alloc(MIB)));
  await awaitStall(proxy);
  const before = proxy.ledger.peek(CALL).egress;
  await proxy.settle(CALL);
  expect([proxy.connections, proxy.ledger.peek(CALL).egress[0]?.tx_bytes]).toEqual([2, before[0]?.tx_bytes]);
});

test.for([210_000, 230_000, 250_000, 270_000])(
  "relay - a guest that reads late gets the whole answer of %i bytes",
  async (bytes) => {
    const { promise: answered, resolve: noteAnswer } = Promise.withResolvers<void>();
    const server = createHttpServer((_request, response) => {
      response.setHeader("content-length", bytes);
      void writeInPieces(response, bytes).then(noteAnswer);
    });
    const port = await startServer(server);
    const proxy = await startLocalProxy(port, { lingerMs: 30 });
    const { guest, closed } = await openRelay(proxy);
    guest.pause();
    const url = `http://127.0.0.1:${port}/`;
    guest.write(frame(`GET ${url} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`));
    await answered;
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 300))]);
    const received = readFrames(guest);
    await closed;
    expect(await received).toEqual({ hasEnd: true, bytes });
  },
);

/** So that the last ones wait in the tunnel when the answer is through. */
async function writeInPieces(response: ServerResponse, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= 2000, await nextTurn()) response.write(Buffer.alloc(2000));
  response.end();
}

/** Bytes of the answer's body. */
async function readFrames(guest: Socket): Promise<{ readonly bytes: number; readonly hasEnd: boolean }> {
  const chunks: Buffer[] = [];
  guest.on("data", (chunk: Buffer) => chunks.push(chunk));
  guest.resume();
  await once(guest, "close");
  const all = Buffer.concat(chunks);
  const parts: Buffer[] = [];
  let hasEnd = false;
  for (let at = 0; at < all.length; ) {
    const length = all.readUInt32BE(at);
    if (all[at + 4] === FRAME.data) parts.push(all.subarray(at + 9, at + 9 + length));
    hasEnd = all[at + 4] === FRAME.end;
    at += 9 + length;
  }
  const answer = Buffer.concat(parts);
  return { bytes: answer.length - answer.indexOf("\r\n\r\n") - 4, hasEnd };
}
