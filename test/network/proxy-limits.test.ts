import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { expect, test } from "vitest";
import type { EgressBudgets } from "../../src/network/account/budgets.ts";
import { CALL, RawClient, type Rig, startProxy, startServer } from "./harness.ts";

const MIB = 1024 * 1024;

async function startEcho(budgets: Partial<EgressBudgets> = {}): Promise<Rig & { open: () => Promise<RawClient> }> {
  const upstream = await startServer(createTcpServer((socket) => socket.pipe(socket)));
  const trusted = [{ name: "echo.local", port: upstream, address: "127.0.0.1" }];
  const rig = await startProxy(`echo.local:${upstream}`, { trusted, budgets });
  const open = async (): Promise<RawClient> => {
    const client = new RawClient(rig.port).say(`CONNECT echo.local:${upstream} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await client.hear(/200 Connection established\r\n\r\n/);
    return client;
  };
  return { ...rig, open };
}

test("the 65th connection is refused with the budget's name, and others go on", async () => {
  const { port, open, proxy } = await startEcho();
  const clients = await Promise.all(Array.from({ length: 64 }, open));
  expect(proxy.connections).toBe(64);
  expect(await new RawClient(port).hearAll()).toMatch(
    /^HTTP\/1\.1 503 Egress budget exceeded: 64 connections are open\r\n/,
  );
  await clients[0]?.say("ping").hear(/ping/);
  clients[1]?.socket.destroy();
  while (proxy.connections === 64) await new Promise(setImmediate);
  await open();
});

test("connections beyond the burst wait for their turn", async () => {
  const { open } = await startEcho({ connectionBurst: 2, connectionsPerSecond: 20 });
  const start = performance.now();
  for (let i = 0; i < 5; i++) (await open()).socket.destroy();
  expect(performance.now() - start).toBeGreaterThan(120);
});

test("an idle connection is closed, before a request silently and in a tunnel on both sides", async () => {
  const { port, open, proxy } = await startEcho({ idleTimeoutMs: 100 });
  const waiting = new RawClient(port);
  expect(await waiting.hearAll()).toBe("");
  waiting.socket.end();
  await (await open()).hearAll();
  while (proxy.connections > 0) await new Promise(setImmediate);
});

test("a head that comes too slowly is answered and ended", async () => {
  const { port } = await startEcho({ headTimeoutMs: 100 });
  expect(await new RawClient(port).say("GET http://a").hearAll()).toMatch(/^HTTP\/1\.1 408 Egress request timed out: /);
});

test("an upstream that never answers is given up as timed out", async () => {
  const upstream = await startServer(createTcpServer((socket) => void socket.resume()));
  const trusted = [{ name: "slow.local", port: upstream, address: "127.0.0.1" }];
  const { port } = await startProxy(`slow.local:${upstream}`, { trusted, budgets: { idleTimeoutMs: 100 } });
  const client = new RawClient(port).say(`GET http://slow.local:${upstream}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  expect(await client.hearAll()).toMatch(/^HTTP\/1\.1 504 Egress timed out: idle for 100 ms\r\n/);
});

test("used-up bytes cut the connection and refuse later ones, with the reason in the record", async () => {
  const { port, open, proxy } = await startEcho({ txBytes: 1000 });
  const client = await open();
  client.say(Buffer.alloc(2000));
  await client.hearAll();
  expect(await new RawClient(port).say("CONNECT echo.local:1 HTTP/1.1\r\nHost: x\r\n\r\n").hearAll()).toMatch(
    /^HTTP\/1\.1 403 /,
  );
  await expect(open()).rejects.toThrow(/503 Egress budget exceeded: 1000 bytes to upstreams are used up/);
  expect(proxy.ledger.close(CALL).egress).toContainEqual(
    expect.objectContaining({ verdict: "denied", reason: expect.stringContaining("1000 bytes") }),
  );
});

test("64 MiB each way arrive whole in flat memory while the reader is slow", async () => {
  const { open, proxy } = await startEcho();
  const client = await open();
  const { socket } = client;
  socket.removeAllListeners("data");
  socket.pause();
  const block = Buffer.alloc(MIB, 7);
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 64; i++) socket.write(block);
  // Nothing reads: the sender must come to a stop long before everything is in memory.
  expect(await settle(() => proxy.ledger.peek(CALL).egress[0]?.tx_bytes ?? 0)).toBeLessThan(32 * MIB);
  let received = 0;
  let peak = 0;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    peak = Math.max(peak, process.memoryUsage().rss);
  });
  socket.end();
  await once(socket.resume(), "end");
  expect(received).toBe(64 * MIB);
  // Four sockets read 64 MiB each in this process: unread garbage is part of the figure, queued data would be far above
  // it.
  expect(peak - before).toBeLessThan(128 * MIB);
  expect(proxy.ledger.close(CALL).egress).toMatchObject([{ tx_bytes: 64 * MIB, rx_bytes: 64 * MIB }]);
});

test("a plain answer of 64 MiB to a guest that does not read stops at the buffers, then arrives whole", async () => {
  const block = Buffer.alloc(MIB);
  let written = 0;
  const answer = async (response: ServerResponse): Promise<void> => {
    for (let i = 0; i < 64; i++) {
      written += 1;
      if (!response.write(block)) await once(response, "drain");
    }
    response.end();
  };
  const upstream = await startServer(createServer((_, response) => void answer(response)));
  const trusted = [{ name: "big.local", port: upstream, address: "127.0.0.1" }];
  const { port } = await startProxy(`big.local:${upstream}`, { trusted });
  const { socket } = new RawClient(port).say(`GET http://big.local:${upstream}/ HTTP/1.0\r\n\r\n`);
  socket.removeAllListeners("data");
  socket.pause();
  expect(await settle(() => written)).toBeLessThan(32);
  let received = 0;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  await once(socket.resume(), "end");
  expect(received).toBeGreaterThan(64 * MIB);
  expect(received).toBeLessThan(64 * MIB + 1000);
});

/** The value once it stayed the same for 200 ms: standing still is what is observed, and has no event. */
async function settle(read: () => number): Promise<number> {
  for (let last = -1; ; ) {
    const now = read();
    if (now === last && now > 0) return now;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
