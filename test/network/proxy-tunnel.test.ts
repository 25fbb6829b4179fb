import { once } from "node:events";
import { request } from "node:https";
import { connect, createServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import type { EgressBudgets } from "../../src/network/account/budgets.ts";
import {
  ask,
  CALL,
  type Certificate,
  makeCertificate,
  RawClient,
  type Rig,
  startProxy,
  startServer,
} from "./harness.ts";

const NAME = "secure.local";
let certificate: Certificate;

beforeAll(() => {
  certificate = makeCertificate(NAME);
});

interface TlsRig extends Rig {
  /** Bytes that reached the upstream. */
  readonly received: () => number;
}

/** A TLS server that the proxy finds at `secure.local:443`. */
async function startTls(budgets: Partial<EgressBudgets> = {}): Promise<TlsRig> {
  let received = 0;
  const tls = createTlsServer(certificate, (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure"));
  });
  const tlsPort = await startServer(tls);
  const counting = createServer((socket) => {
    const inner = connect(tlsPort, "127.0.0.1");
    inner.on("error", () => {}).pipe(socket);
    socket.pipe(inner);
    socket.on("data", (chunk) => {
      received += chunk.length;
    });
  });
  return { ...(await startAt443(counting, budgets)), received: () => received };
}

async function startAt443(server: Server, budgets: Partial<EgressBudgets> = {}): Promise<Rig> {
  const upstream = await startServer(server);
  return await startProxy(`${NAME}:443`, {
    budgets,
    trusted: [{ name: NAME, port: 443, address: "127.0.0.1" }],
    dial: ({ host, port }) => {
      expect(port).toBe(443);
      return connect({ host, port: upstream, allowHalfOpen: true });
    },
  });
}

const CONNECT = `CONNECT ${NAME}:443 HTTP/1.1\r\nHost: ${NAME}:443\r\n\r\n`;

async function openTunnel(port: number): Promise<Socket> {
  const client = new RawClient(port).say(CONNECT);
  await client.hear(/^HTTP\/1\.1 200 Connection established\r\n\r\n$/);
  client.socket.removeAllListeners("data");
  return client.socket;
}

test("Node's https client gets its answer through a tunnel whose server name is the host", async () => {
  const rig = await startTls();
  const socket = connectTls({ socket: await openTunnel(rig.port), servername: NAME, ca: certificate.cert });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  request(
    { host: NAME, path: "/", createConnection: () => socket },
    (response) => void text(response).then(resolve, reject),
  )
    .once("error", reject)
    .end();
  expect(await promise).toBe("secure");
  const [row] = rig.proxy.ledger.close(CALL).egress;
  expect(row).toMatchObject({ host: NAME, port: 443, verdict: "allowed", connections: 1, tx_bytes: rig.received() });
  expect(row?.rx_bytes).toBeGreaterThan(500);
});

test.each([
  ["another server name", "other.local", /another host \(other\.local\)/],
  ["no server name", undefined, /without a server name/],
])("TLS with %s is refused on port 443 before a byte reaches the upstream", async (_, servername, reason) => {
  const rig = await startTls();
  const tls = connectTls({
    socket: await openTunnel(rig.port),
    ...(servername ? { servername } : {}),
    rejectUnauthorized: false,
  });
  const [error] = (await once(tls, "error")) as [Error];
  expect(error.message).toMatch(/unrecognized name/i);
  expect(rig.received()).toBe(0);
  expect(rig.proxy.ledger.close(CALL).egress).toEqual([
    expect.objectContaining({
      host: NAME,
      verdict: "denied",
      reason: expect.stringMatching(reason),
      connections: 1,
      tx_bytes: 0,
    }),
  ]);
});

test.each([
  ["plain HTTP", "GET / HTTP/1.1\r\n\r\n"],
  ["an SSH banner", "SSH-2.0-OpenSSH\r\n"],
  ["a TLS alert", Buffer.from([21, 3, 3, 0, 2, 1, 0])],
])("%s is refused on port 443 before a byte reaches the upstream", async (_, bytes) => {
  const rig = await startTls();
  const socket = await openTunnel(rig.port);
  socket.write(bytes);
  await once(socket.resume(), "end");
  expect(rig.received()).toBe(0);
  expect(rig.proxy.ledger.close(CALL).egress).toMatchObject([
    { verdict: "denied", reason: expect.stringContaining("not a ClientHello") },
  ]);
});

test("an unfinished ClientHello never reaches the upstream when the guest ends there", async () => {
  const rig = await startTls();
  const ending = await openTunnel(rig.port);
  ending.end(Buffer.from([22, 3, 1, 1, 0, 1]));
  await once(ending.resume(), "end");
  expect(rig.received()).toBe(0);
  expect(rig.proxy.ledger.close(CALL).egress).toMatchObject([
    { verdict: "denied", reason: expect.stringContaining("unfinished") },
  ]);
});

test("a ClientHello that stops halfway is given up in time", async () => {
  const rig = await startTls({ headTimeoutMs: 100 });
  const stopping = await openTunnel(rig.port);
  stopping.write(Buffer.from([22, 3, 1, 1, 0, 1]));
  await once(stopping.resume(), "end");
  expect(rig.received()).toBe(0);
  expect(rig.proxy.ledger.close(CALL).egress).toMatchObject([
    { verdict: "denied", connections: 1, reason: "the ClientHello took too long" },
  ]);
});

test("a ClientHello in small pieces passes", async () => {
  const rig = await startTls();
  const tunnel = await openTunnel(rig.port);
  const slow = createServer((inner) => {
    inner.on("data", (chunk) => {
      for (let i = 0; i < chunk.length; i += 7) tunnel.write(chunk.subarray(i, i + 7));
    });
    tunnel.on("data", (chunk: Buffer) => inner.write(chunk));
  });
  const tls: TLSSocket = connectTls({
    host: "127.0.0.1",
    port: await startServer(slow),
    servername: NAME,
    ca: certificate.cert,
  });
  await once(tls, "secureConnect");
  tls.write("x");
  expect(String((await once(tls, "data"))[0])).toContain("secure");
  tls.destroy();
});

test("a server that speaks first on port 443 is not heard before the guest named it", async () => {
  const rig = await startAt443(createServer((socket) => void socket.write("banner")));
  const client = new RawClient(rig.port).say(CONNECT);
  await client.hear(/\r\n\r\n$/);
  client.say("QUIT\r\n");
  expect(await client.hearAll()).not.toContain("banner");
});

/** A plain TCP server that the proxy finds at `plain.local` under its own port. */
async function startPlain(
  onConnection: (socket: Socket) => void,
): Promise<Rig & { upstream: number; open: () => Promise<RawClient> }> {
  const upstream = await startServer(createServer({ allowHalfOpen: true }, onConnection));
  const rig = await startProxy(`plain.local:${upstream}`, {
    trusted: [{ name: "plain.local", port: upstream, address: "127.0.0.1" }],
  });
  const open = async (): Promise<RawClient> => {
    const client = new RawClient(rig.port).say(`CONNECT plain.local:${upstream} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await client.hear(/200 Connection established\r\n\r\n/);
    return client;
  };
  return { ...rig, upstream, open };
}

test("on another port the server may speak first, and bytes sent together with CONNECT arrive", async () => {
  const { port, upstream } = await startPlain((socket) => {
    socket.write("banner\n");
    socket.pipe(socket);
  });
  const client = new RawClient(port).say(`CONNECT plain.local:${upstream} HTTP/1.1\r\nHost: x\r\n\r\nearly`);
  await client.hear(/banner\n/);
  await client.hear(/early/);
});

test("TLS on another port is held to its server name too", async () => {
  const { open, proxy } = await startPlain((socket) => socket.pipe(socket));
  const { socket } = await open();
  const tls = connectTls({ socket, servername: "other.local", rejectUnauthorized: false });
  const [error] = (await once(tls, "error")) as [Error];
  expect(error.message).toMatch(/unrecognized name/i);
  expect(proxy.ledger.close(CALL).egress).toContainEqual(expect.objectContaining({ verdict: "denied", tx_bytes: 0 }));
});

test("a guest that has finished sending still gets the answer, and a server that has finished still gets the rest", async () => {
  const answering = await startPlain((socket) => void text(socket).then((heard) => socket.end(`heard ${heard}`)));
  const asking = await answering.open();
  asking.say("everything").socket.end();
  expect(await asking.hearAll()).toMatch(/heard everything$/);

  const rest = Promise.withResolvers<string>();
  const finished = await startPlain((socket) => {
    socket.end("done");
    void text(socket).then(rest.resolve);
  });
  const client = await finished.open();
  await client.hearAll();
  client.say("the rest").socket.end();
  expect(await rest.promise).toBe("the rest");
});

test("a reset on one side ends the other", async () => {
  const accepted = Promise.withResolvers<Socket>();
  const { open, proxy } = await startPlain((socket) => {
    socket.on("error", () => {});
    accepted.resolve(socket);
  });
  const first = await open();
  (await accepted.promise).resetAndDestroy();
  await first.hearAll();
  expect(proxy.ledger.close(CALL).egress).toMatchObject([{ verdict: "allowed" }]);
});

test("a CONNECT to a port that nobody serves is answered with the reason", async () => {
  const { port } = await startProxy("plain.local:1", {
    trusted: [{ name: "plain.local", port: 1, address: "127.0.0.1" }],
  });
  const answer = await ask(port, "CONNECT plain.local:1 HTTP/1.1\r\nHost: x\r\n\r\n");
  expect(answer).toMatch(/^HTTP\/1\.1 502 Egress failed: plain\.local:1 cannot be reached \(ECONNREFUSED\)\r\n/);
});
