import { createServer, connect as dial, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { PaddockError } from "../../src/errors/error.ts";
import { exchangeOverPort, type PortRequest } from "../../src/tools/http-port.ts";
import { listen } from "./http-client-program.ts";

const NEVER = new AbortController().signal;
const ask = (facts: Partial<PortRequest> = {}): PortRequest => ({
  method: "GET",
  path: "/hello",
  host: "127.0.0.1:3000",
  headers: {},
  body: undefined,
  maxBytes: 1000,
  ...facts,
});

/** A stream to a real port, as `sandbox.connect` gives one. */
function connectTo(port: number): () => Promise<Duplex> {
  return async () => {
    const socket = dial({ port, host: "127.0.0.1", allowHalfOpen: true });
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return socket;
  };
}

/** A server that answers every connection with these bytes. */
async function listenRaw(reply: (socket: Socket) => void): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => reply(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("http port - method, path, headers and body reach the server and its answer comes back", async () => {
  await using served = await listen((request, response) => {
    request.setEncoding("utf8").on("data", (text: string) => {
      response.writeHead(201, { "set-cookie": ["a=1", "b=2"] });
      response.end(
        `${request.method} ${request.url} ${String(request.headers["x-a"])} ${request.headers.host} ${text}`,
      );
    });
  });
  const request = ask({ method: "POST", path: "/data?x=1", headers: { "X-A": "b" }, body: Buffer.from("ü") });
  const reply = await exchangeOverPort(connectTo(served.port), request, NEVER);
  expect(reply).toMatchObject({
    status: 201,
    reason: "Created",
    body: "POST /data?x=1 b 127.0.0.1:3000 ü",
    encoding: "utf8",
    truncated: false,
  });
  expect("headers" in reply && reply.headers.filter(([name]) => name === "set-cookie")).toEqual([
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
  ]);
});

test("http port - an endless body is cut at max_bytes and the connection is closed", async () => {
  let closed = false;
  await using served = await listen((_request, response) => {
    const more = (): void => {
      while (response.write("x".repeat(4096))) {}
      response.once("drain", more);
    };
    response.on("close", () => {
      closed = true;
    });
    more();
  });
  const reply = await exchangeOverPort(connectTo(served.port), ask(), NEVER);
  expect(reply).toMatchObject({ status: 200, bytes: 1000, truncated: true });
  await expect.poll(() => closed).toBe(true);
});

test("http port - garbage, a closed connection and a cut answer are failures by name, not errors", async () => {
  await using garbage = await listenRaw((socket) => socket.end("SSH-2.0-nope\r\n\r\n"));
  await using closing = await listenRaw((socket) => socket.end());
  await using cut = await listenRaw((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"));
  await using vast = await listenRaw((socket) => socket.end(`HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(100_000)}\r\n\r\n`));
  const failures = await Promise.all(
    [garbage, closing, cut, vast].map(async ({ port }) => await exchangeOverPort(connectTo(port), ask(), NEVER)),
  );
  expect(failures.map((one) => ("failure" in one ? one.failure : one))).toEqual([
    "protocol",
    "reset",
    "reset",
    "protocol",
  ]);
});

test("http port - a port where nothing listens is refused; a lost sandbox stays an error", async () => {
  const refuse = (code: "not_found" | "sandbox_lost") => async (): Promise<Duplex> => {
    throw new PaddockError(code, "no answer on port 3000");
  };
  expect(await exchangeOverPort(refuse("not_found"), ask(), NEVER)).toMatchObject({ failure: "refused" });
  await expect(exchangeOverPort(refuse("sandbox_lost"), ask(), NEVER)).rejects.toMatchObject({ code: "sandbox_lost" });
});

test("http port - an abort ends a silent server's exchange and a stream that opens too late is closed", async () => {
  await using silent = await listenRaw(() => undefined);
  const timeout = AbortSignal.timeout(50);
  await expect(exchangeOverPort(connectTo(silent.port), ask(), timeout)).rejects.toMatchObject({
    name: "TimeoutError",
  });

  const opening = Promise.withResolvers<Duplex>();
  const controller = new AbortController();
  const waiting = exchangeOverPort(() => opening.promise, ask(), controller.signal);
  controller.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  const late = await connectTo(silent.port)();
  opening.resolve(late);
  await expect.poll(() => late.destroyed).toBe(true);
});
