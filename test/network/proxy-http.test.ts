import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { ask, CALL, RawClient, type Rig, type RigOptions, startProxy, startServer } from "./harness.ts";

const names = ["one.local", "two.local"];

/** A proxy whose policy names one server under two names. */
async function startRig(
  server: Parameters<typeof startServer>[0],
  options: RigOptions = {},
): Promise<Rig & { upstream: number }> {
  const upstream = await startServer(server);
  const trusted = names.map((name) => ({ name, port: upstream, address: "127.0.0.1" }));
  const rig = await startProxy(
    names.map((name) => `${name}:${upstream}`),
    { trusted, ...options },
  );
  return { ...rig, upstream };
}

const serve = (handler: (request: IncomingMessage, response: ServerResponse) => unknown) =>
  createServer((incoming, response) => void handler(incoming, response));

/** A server that says exactly `answer` to every head it gets. */
function serveRaw(answer: string | ((socket: Socket, heard: string) => void)): ReturnType<typeof createTcpServer> {
  return createTcpServer((socket) => {
    socket.on("data", (chunk) => {
      if (typeof answer === "string") socket.write(answer);
      else answer(socket, chunk.toString("latin1"));
    });
  });
}

/** Node's own client, as a program that uses the proxy for plain HTTP. */
async function send(
  rig: { port: number },
  agent: Agent,
  url: string,
  body?: string,
): Promise<{ status: number | undefined; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { host: new URL(url).host };
  const method = body === undefined ? "GET" : "POST";
  request({ host: "127.0.0.1", port: rig.port, path: url, method, headers, agent }, resolve)
    .once("error", reject)
    .end(body);
  const response = await promise;
  return { status: response.statusCode, body: await text(response) };
}

test("many requests to two hosts go over one kept-alive connection of the guest", async () => {
  const rig = await startRig(
    serve(async (incoming, response) =>
      response.end(`${incoming.headers.host} ${incoming.url} ${await text(incoming)}`),
    ),
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (const name of [...names, ...names]) {
    const host = `${name}:${rig.upstream}`;
    expect(await send(rig, agent, `http://${host}/a`)).toEqual({ status: 200, body: `${host} /a ` });
    expect(await send(rig, agent, `http://${host}/b?c`, "body")).toEqual({ status: 200, body: `${host} /b?c body` });
    expect(rig.proxy.connections).toBe(1);
  }
  agent.destroy();
  const { egress } = rig.proxy.ledger.close(CALL);
  expect(egress).toMatchObject(names.map((host) => ({ host, verdict: "allowed", connections: 2 })));
  for (const row of egress) expect(Math.min(row.tx_bytes, row.rx_bytes)).toBeGreaterThan(200);
});

test("a request to a denied host on a kept-alive connection is denied, and a pipelined one too", async () => {
  const rig = await startRig(serve((_, response) => response.end("first")));
  const first = `GET http://one.local:${rig.upstream}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
  const answer = await ask(rig.port, `${first}GET http://denied.example/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK.*first.*HTTP\/1\.1 403 Egress denied .*denied\.example:80 is not listed/s);
});

test("every framing of an answer arrives whole, and the connection stays usable where it can", async () => {
  const rig = await startRig(
    serveRaw((socket, heard) => {
      if (heard.includes("/chunked"))
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n");
      else if (heard.includes("/length")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlength");
      else if (heard.includes("/empty")) socket.write("HTTP/1.1 204 No Content\r\n\r\n");
      else if (heard.startsWith("HEAD")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
      else if (heard.includes("/hint"))
        socket.write(
          "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        );
      else socket.end("HTTP/1.0 200 OK\r\n\r\nto the end");
    }),
  );
  const client = new RawClient(rig.port);
  const say = (method: string, path: string) =>
    client.say(`${method} http://one.local:${rig.upstream}${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await say("GET", "/chunked").hear(/5\r\nhello\r\n0\r\n\r\n$/);
  await say("GET", "/length").hear(/Content-Length: 6\r\n\r\nlength$/);
  await say("GET", "/empty").hear(/204 No Content\r\n\r\n$/);
  await say("HEAD", "/").hear(/Content-Length: 99\r\n\r\n$/);
  await say("GET", "/hint").hear(
    /103 Early Hints\r\nLink: x\r\n\r\nHTTP\/1\.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n$/,
  );
  await say("GET", "/close").hear(/Transfer-Encoding: chunked\r\n\r\na\r\nto the end\r\n0\r\n\r\n$/);
  await say("GET", "/length").hear(/length$/);
  expect(client.heard).not.toContain("T: 1");
});

test("a small answer leaves in one piece, so that no delayed acknowledgement holds back its last chunk", async () => {
  const rig = await startRig(serveRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
  const written: Buffer[] = [];
  const first = Promise.withResolvers<void>();
  const take = (chunks: readonly Buffer[], done: () => void): void => {
    written.push(Buffer.concat(chunks));
    first.resolve();
    done();
  };
  const guest = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _, done) => take([chunk], done),
    writev: (chunks, done) =>
      take(
        chunks.map(({ chunk }) => chunk as Buffer),
        done,
      ),
  });
  rig.proxy.handle(guest, CALL);
  guest.push(`GET http://one.local:${rig.upstream}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  await first.promise;
  expect(written.map(String)).toEqual([expect.stringMatching(/^HTTP\/1\.1 200 OK\r\n.*2\r\nok\r\n0\r\n\r\n$/s)]);
});

test("an HTTP/1.0 guest gets its answer without chunks and then the end", async () => {
  const rig = await startRig(serve((_, response) => void response.write("one", () => response.end("two"))));
  const answer = await ask(rig.port, `GET http://one.local:${rig.upstream}/ HTTP/1.0\r\n\r\n`);
  expect(answer).toMatch(/Connection: close\r\n\r\nonetwo$/);
  expect(answer).not.toContain("chunked");
});

test("a chunked upload reaches the upstream written anew, after its 100 Continue", async () => {
  const rig = await startRig(
    serve(async (incoming, response) =>
      response.end(`${incoming.headers["transfer-encoding"]} ${await text(incoming)}`),
    ),
  );
  const client = new RawClient(rig.port);
  const head = ["Host: x", "Transfer-Encoding: chunked", "Expect: 100-continue", "", ""].join("\r\n");
  await client.say(`POST http://one.local:${rig.upstream}/ HTTP/1.1\r\n${head}`).hear(/^HTTP\/1\.1 100 Continue\r\n/);
  await client.say("3;a\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n").hear(/chunked abcde/);
});

test("an upload that breaks its framing is refused, and the upstream gets no end of it", async () => {
  let isWhole = false;
  const rig = await startRig(serve((incoming) => void incoming.resume().on("end", () => (isWhole = true))));
  const head = `POST http://one.local:${rig.upstream}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
  expect(await ask(rig.port, `${head}3\nabc`)).toMatch(/^HTTP\/1\.1 400 Egress request refused: .*bare LF/);
  const half = new RawClient(rig.port).say(`${head}3\r\nab`);
  half.socket.end();
  expect(await half.hearAll()).toMatch(/^HTTP\/1\.1 400 .*inside the body/);
  expect(isWhole).toBe(false);
});

test("an early answer to a large upload is delivered and ends the connection", async () => {
  const rig = await startRig(
    serve((_, response) => response.writeHead(413, { connection: "close", "content-length": 9 }).end("too large")),
  );
  const client = new RawClient(rig.port).say(
    `PUT http://one.local:${rig.upstream}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nstart`,
  );
  expect(await client.hearAll()).toMatch(/^HTTP\/1\.1 413 .*too large$/s);
});

test.each([
  ["says nothing", (socket: Socket) => void socket.end(), /^HTTP\/1\.1 502 .*without an answer/],
  [
    "is not HTTP",
    (socket: Socket) => void socket.write("SSH-2.0-x\r\n\r\n"),
    /^HTTP\/1\.1 502 .*status line is malformed/,
  ],
  [
    "gives two framings",
    (socket: Socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    /^HTTP\/1\.1 502 .*together/,
  ],
  [
    "switches protocols",
    (socket: Socket) => void socket.write("HTTP/1.1 101 Switching\r\n\r\n"),
    /^HTTP\/1\.1 502 .*unasked/,
  ],
  [
    "ends inside its head",
    (socket: Socket) => void socket.end("HTTP/1.1 200 OK\r\nA"),
    /^HTTP\/1\.1 502 .*inside the head/,
  ],
  [
    "ends inside its body",
    (socket: Socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
    /^HTTP\/1\.1 200 .*ab$/s,
  ],
])("an upstream that %s gives the guest an answer it cannot mistake for a whole one", async (_, answer, expected) => {
  const rig = await startRig(serveRaw(answer));
  expect(await ask(rig.port, `GET http://one.local:${rig.upstream}/ HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(expected);
});

test("a kept-alive upstream that is gone is dialled again for a GET", async () => {
  let connections = 0;
  const server = createTcpServer((socket) => {
    connections += 1;
    let requests = 0;
    // The second request on a connection is met with its end, as a server does that was about to close.
    socket.on("data", () =>
      ++requests === 1 ? socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") : socket.destroy(),
    );
  });
  const rig = await startRig(server);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const url = `http://one.local:${rig.upstream}/`;
  expect(await send(rig, agent, url)).toEqual({ status: 200, body: "ok" });
  expect(await send(rig, agent, url)).toEqual({ status: 200, body: "ok" });
  expect((await send(rig, agent, url, "not repeatable")).status).toBe(502);
  agent.destroy();
  expect(connections).toBe(2);
});

test("malformed requests are refused before anything is dialled", async () => {
  const rig = await startRig(serve((_, response) => response.end()));
  const url = `http://one.local:${rig.upstream}/`;
  const smuggled = [
    `POST ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc`,
    `GET ${url} HTTP/1.1\nHost: x\n\n`,
    `GET ${url} HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n`,
    `GET ${url} HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(17_000)}\r\n\r\n`,
  ];
  for (const attempt of smuggled)
    expect(await ask(rig.port, attempt)).toMatch(/^HTTP\/1\.1 400 Egress request refused: /);
  expect(rig.proxy.ledger.close(CALL).egress).toEqual([]);
});

test("network time counts the wait for an answer and not the idle time of a kept-alive connection", async () => {
  let now = 0;
  const takeTime = (response: ServerResponse): void => {
    now += 200;
    response.end("late");
  };
  const rig = await startRig(
    serve((_, response) => takeTime(response)),
    { clock: () => now },
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const url = `http://one.local:${rig.upstream}/`;
  await send(rig, agent, url);
  const afterFirst = rig.proxy.ledger.peek(CALL).networkMs;
  expect(afterFirst).toBe(200);
  now += 500;
  expect(rig.proxy.ledger.peek(CALL).networkMs).toBe(afterFirst);
  await send(rig, agent, url);
  const twice = rig.proxy.ledger.close(CALL);
  expect(twice.networkMs).toBe(400);
  expect(twice.egress).toMatchObject([{ connections: 1 }]);
  agent.destroy();
});
