import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { askRaw, RawConnection, sendRaw } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";

const MIB = 1024 * 1024;
const HEADERS_MS = 300;
const REQUEST_MS = 500;

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startService({ times: { headersMs: HEADERS_MS, requestMs: REQUEST_MS } });
  token = await service.token("u1");
});

afterAll(async () => await service[Symbol.asyncDispose]());

const isAlive = async (): Promise<boolean> => (await fetch(`${service.url}/health`)).status === 200;

async function post(
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  const response = await fetch(`${service.url}/api/v0/agents`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: body as string,
  });
  return { status: response.status, text: await response.text() };
}

const named = (json: string): string => `{"name":"bomb-${Math.floor(performance.now())}-x",${json}}`;

test.each([
  ["200,000 levels", 400, named(`"metadata":${"[".repeat(200_000)}${"]".repeat(200_000)}`)],
  ["200,000 keys", 400, named(`"metadata":{${Array.from({ length: 200_000 }, (_, i) => `"${i}":0`).join()}}`)],
  ["a number of a million digits", 422, `{"name":${"9".repeat(1_000_000)}}`],
  ["the same key twice", 400, '{"name":"twice","name":"twice2"}'],
  ["__proto__", 400, named('"metadata":{"__proto__":{"isAdmin":true}}')],
  ["constructor", 400, named('"constructor":{"prototype":{"isAdmin":true}}')],
  ["bytes that are no UTF-8", 400, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ["half an object", 400, "{"],
  ["a list", 422, "[]"],
  ["null", 422, "null"],
  ["nothing", 400, ""],
])("limits - a body with %s is refused with %i, and the loop goes on", async (_name, status, body) => {
  const begun = process.cpuUsage();
  const answer = await post(body);
  const { user } = process.cpuUsage(begun);
  expect([answer.status, answer.text.startsWith("Failed to")]).toEqual([status, true]);
  expect(await isAlive()).toBe(true);
  // Of this process, which does the work of both ends: a busy machine changes nothing.
  expect(user).toBeLessThan(1_000_000);
});

test("limits - the largest body that is taken is read without holding up others for long", async () => {
  const item = { type: "text", content: "a".repeat(2 * MIB - 200) };
  const response = await fetch(`${service.url}/api/v0/agents/nope/responses`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ input: { content: [item] } }),
  });
  expect([response.status, await response.json()]).toEqual([404, { message: "Agent not found" }]);
});

test("limits - bodies above 2 MiB of the contract's routes and above 1 MiB of others are 413, whatever length they claim", async () => {
  const large = `{"name":"large","metadata":"${"a".repeat(2 * MIB)}"}`;
  expect((await post(large)).status).toBe(413);
  const head = `POST /api/v0/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`;
  expect((await sendRaw(service.url, `${head}Content-Length: 104857600\r\n\r\n{`)).status).toBe(413);
  const chunk = `${MIB.toString(16)}\r\n${" ".repeat(MIB)}\r\n`;
  expect((await sendRaw(service.url, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(3)}`)).status).toBe(413);
  expect(await isAlive()).toBe(true);
});

test.each([
  ["text", { "content-type": "text/plain" }],
  ["a form", { "content-type": "application/x-www-form-urlencoded" }],
  ["parts", { "content-type": "multipart/form-data; boundary=x" }],
  ["UTF-16", { "content-type": "application/json; charset=utf-16" }],
  ["UTF-7", { "content-type": "application/json; charset=utf-7" }],
  ["JSON in a longer word", { "content-type": "application/jsonx" }],
  ["no type that is one", { "content-type": "json" }],
])("limits - %s is no JSON: 415", async (_name, headers) => {
  const answer = await post('{"name":"typed"}', headers);
  expect(answer).toEqual({ status: 415, text: "Expected request with `Content-Type: application/json`" });
});

test("limits - a compressed body is not unpacked", async () => {
  const bomb = gzipSync(Buffer.alloc(20 * MIB, " "));
  expect((await post(bomb, { "content-encoding": "gzip" })).status).toBe(415);
});

test("limits - JSON by another name and charset is taken", async () => {
  const types = ["application/json; charset=UTF-8", "application/merge-patch+json", "Application/JSON"];
  for (const [index, type] of types.entries())
    expect((await post(`{"name":"type-${index}","metadata":{"bare":true}}`, { "content-type": type })).status).toBe(
      200,
    );
});

test("limits - who sends headers too slowly, or none, is cut off", async () => {
  using silent = await RawConnection.open(service.url);
  using slow = await RawConnection.open(service.url);
  slow.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ");
  const answers = await Promise.all([silent.closed, slow.closed]);
  for (const { status } of answers) expect([undefined, 400, 408]).toContain(status);
  expect(await isAlive()).toBe(true);
});

test("limits - who sends a body too slowly is cut off with 408", async () => {
  using slow = await RawConnection.open(service.url);
  slow.send(
    `POST /api/v0/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"name"`,
  );
  expect((await slow.closed).status).toBe(408);
});

test("limits - who does not read the answer is cut off", async () => {
  const { promise: isCut, resolve } = Promise.withResolvers<void>();
  service.service.server.server.once("connection", (socket) => socket.once("close", () => resolve()));
  using lazy = await RawConnection.open(service.url);
  lazy.socket.pause();
  lazy.send("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(400));
  await isCut;
  expect(await isAlive()).toBe(true);
});

test("limits - garbage, smuggling and oversized heads end the connection with 400", async () => {
  const head = "POST /api/v0/operators/admin/login HTTP/1.1\r\nHost: localhost\r\n";
  for (const text of [
    "GET /\r\n\r\n",
    "\u0000\u0001\u0002\r\n\r\n",
    "GET /health HTTP/1.1\r\n\r\n",
    `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n`,
    `${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   `,
    `${head}Transfer-Encoding: xchunked\r\n\r\n`,
    `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(20_000)}\r\n\r\n`,
    `GET /health HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n`,
  ]) {
    const answer = await sendRaw(service.url, text);
    expect([400, 403, undefined], text.slice(0, 80)).toContain(answer.status);
    expect(answer.text.match(/HTTP\/1\.1/g)?.length ?? 0).toBeLessThanOrEqual(1);
  }
  expect(await isAlive()).toBe(true);
});

test("limits - a thousand requests in one packet are all answered", async () => {
  const one = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const { text } = await sendRaw(service.url, one.repeat(999) + last);
  expect(text.match(/HTTP\/1\.1 200/g)?.length).toBe(1000);
});

test("limits - a client that leaves in any phase leaves the server running", async () => {
  const request = `POST /api/v0/agents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n{"name":"gone-agent","tags":[]}`;
  for (const length of [5, 60, request.length - 20, request.length]) {
    using leaving = await RawConnection.open(service.url);
    leaving.send(request.slice(0, length));
    leaving.socket.resetAndDestroy();
    await leaving.closed;
  }
  expect(await isAlive()).toBe(true);
});

test("limits - what is wrong with a path is no failure of the server", async () => {
  for (const path of [
    "/api/v0/agents/%",
    "/api/v0/agents/%ff",
    `/api/v0/agents/${"a".repeat(5000)}`,
    "/%c0%ae/",
    "http://x/health",
  ]) {
    const { status = 0 } = await askRaw(service.url, "GET", path, { authorization: `Bearer ${token}` });
    expect([path, status >= 200 && status < 500]).toEqual([path, true]);
  }
});
