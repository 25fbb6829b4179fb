import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startService, type TestService } from "../support/service.ts";

const MOST = 16;
/** Two clients on this machine; nothing but their addresses differs. */
const ATTACKER = "127.0.0.2";
const CALLER = "127.0.0.3";

let service: TestService;
let token: string;
const opened: Socket[] = [];

beforeAll(async () => {
  service = await startService({ times: { connections: MOST, strangerIdleMs: 200 } });
  token = await service.token("u1");
});

afterAll(async () => {
  for (const socket of opened) socket.destroy();
  await service[Symbol.asyncDispose]();
});

/** A connection of its own, from this address. */
async function open(localAddress: string): Promise<Socket> {
  const { hostname, port } = new URL(service.url);
  const socket = connect({ host: hostname, port: Number(port), localAddress });
  opened.push(socket);
  socket.on("error", () => undefined);
  await Promise.race([once(socket, "connect"), once(socket, "close")]);
  return socket;
}

/** The status of the answer; undefined when the connection is closed instead. */
async function ask(socket: Socket, path: string, headers = ""): Promise<number | undefined> {
  if (socket.destroyed) return undefined;
  const answer = Promise.race([once(socket, "data"), once(socket, "close").then(() => [])]);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
  const [chunk] = (await answer) as [Buffer?];
  const status = chunk?.toString("latin1").slice(9, 12);
  return status === undefined ? undefined : Number(status);
}

const authorized = (): string => `Authorization: Bearer ${token}\r\n`;

/** As many as it takes to have all connections, were there no bound for one address. */
async function flood(address: string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let count = 0; count < 4 * MOST; count++) sockets.push(await open(address));
  return sockets;
}

test("connections - idle ones of one address keep nobody else out, and end what nobody uses", async () => {
  const calm = await open(CALLER);
  expect(await ask(calm, "/api/v0/auth", authorized())).toBe(200);
  const idle = await flood(ATTACKER);
  for (let count = 0; count < MOST / 2 - 1; count++) expect(await ask(await open(CALLER), "/health")).toBe(200);
  // One with a token outlives those without, however long it is idle.
  expect(await ask(calm, "/api/v0/auth", authorized())).toBe(200);
  for (const socket of idle) socket.destroy();
});

test("connections - the longest idle of an address gives way to its own next one; one with a request in progress does not", async () => {
  const working = await open(ATTACKER);
  working.write(`POST /api/v0/agents HTTP/1.1\r\nHost: localhost\r\n${authorized()}Content-Type: application/json\r\n`);
  working.write("Content-Length: 2\r\n\r\n{");
  const first = await open(ATTACKER);
  const isCut = once(first, "close");
  const more = await flood(ATTACKER);
  await isCut;
  expect(await ask(await open(ATTACKER), "/health")).toBe(200);
  const answer = once(working, "data");
  working.write("}");
  expect(String(await answer)).toMatch(/^HTTP\/1\.1 422/);
  for (const socket of [working, ...more]) socket.destroy();
});

test("connections - one without a token is closed soon after its answer, one with a token stays", async () => {
  const stranger = await open(CALLER);
  const known = await open(CALLER);
  expect([await ask(stranger, "/health"), await ask(known, "/api/v0/auth", authorized())]).toEqual([200, 200]);
  await once(stranger, "close");
  expect(await ask(known, "/api/v0/auth", authorized())).toBe(200);
});
