import { once } from "node:events";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { hostname } from "node:os";
import { duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compilePolicy, parsePolicy } from "../../src/network/policy/policy.ts";
import { ask, CALL, RawClient, startProxy, startServer } from "./harness.ts";

const connectTo = (authority: string): string => `CONNECT ${authority} HTTP/1.1\r\nHost: x\r\n\r\n`;
const get = (url: string): string => `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
const neverResolve = async (): Promise<never> => {
  throw new Error("a name was resolved that no rule names");
};
const neverDial = (): never => {
  throw new Error("an address was dialled that is denied");
};

test("a denied host is told the policy in the status line, gets a hint, and stands in the record; nothing is resolved", async () => {
  const { port, proxy } = await startProxy("pypi", { resolver: neverResolve, dial: neverDial });
  const answer = await ask(port, connectTo("Example.COM:443"));
  expect(answer).toMatch(/^HTTP\/1\.1 403 Egress denied by policy "pypi": example\.com:443 is not listed\r\n/);
  expect(answer).toContain("Connection: close\r\n");
  expect(answer).toContain('add "example.com" to the network policy');
  expect(await ask(port, get("http://example.com/"))).toMatch(/^HTTP\/1\.1 403 .*example\.com:80 is not listed\r\n/);
  const reason = 'policy "pypi": example.com:443 is not listed';
  expect(proxy.ledger.close(CALL)).toMatchObject({
    networkMs: 0,
    egress: [
      { host: "example.com", port: 443, verdict: "denied", reason, connections: 1, tx_bytes: 0, rx_bytes: 0 },
      { port: 80 },
    ],
  });
});

const loopbackSpellings = [
  ...[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.1",
    "0x7f.0.0.1",
    "0",
    "0.0.0.0",
    "00000",
  ],
  ...[
    "127.0.0.1\0.example.com",
    "127.0.0.1%00.example.com",
    "example.com\0",
    "example.com@127.0.0.1",
    "127.0.0.1.",
    "localhost",
    "localhost.",
  ],
  ...[
    "[::1]",
    "[::]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::1%lo]",
    "[fe80::1%eth0]",
  ],
  ...[
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "127\u00b70.0.1",
    hostname(),
    "169.254.169.254",
    "10.0.0.1",
    "192.168.0.1",
  ],
];
test.each(loopbackSpellings)(
  "the loopback and private spelling %j is denied with a record, as tunnel and as request",
  async (host) => {
    const { port, proxy } = await startProxy("example.com,*.example.com", { resolver: neverResolve, dial: neverDial });
    expect(await ask(port, Buffer.from(connectTo(`${host}:443`)))).toMatch(/^HTTP\/1\.1 403 Egress denied by policy /);
    expect(await ask(port, Buffer.from(get(`http://${host}/`)))).toMatch(/^HTTP\/1\.1 403 Egress denied by policy /);
    const { egress } = proxy.ledger.close(CALL);
    expect(egress.reduce((sum, row) => sum + row.connections, 0)).toBe(2);
    for (const row of egress) {
      expect(row.verdict).toBe("denied");
      expect(row.host).toMatch(/^[!-~]{1,253}$/);
    }
  },
);

test("a URL's credentials never reach the record", async () => {
  const { port, proxy } = await startProxy("none");
  await ask(port, get("http://user:secret@example.com/"));
  expect(JSON.stringify(proxy.ledger.close(CALL))).not.toContain("secret");
});

test.each([
  [["127.0.0.1"], "127.0.0.0/8"],
  [["8.8.8.8", "10.0.0.1"], "10.0.0.0/8"],
  [["8.8.8.8", "::ffff:8.8.4.4"], "::ffff:0:0/96"],
  [["fd00::1"], "fc00::/7"],
  [["not an address"], "not an address"],
])("a listed name that resolves to %j is denied as not public (%s)", async (answers, range) => {
  const { port, proxy } = await startProxy("example.com", { resolver: async () => answers, dial: neverDial });
  expect(await ask(port, connectTo("example.com:443"))).toContain(`not public (${range})`);
  expect(proxy.ledger.close(CALL).egress).toMatchObject([{ host: "example.com", verdict: "denied", connections: 1 }]);
});

test("a listed address literal is still denied when it is not public", async () => {
  const { port } = await startProxy("127.0.0.1:81,[::1]:443", { resolver: neverResolve, dial: neverDial });
  expect(await ask(port, connectTo("127.0.0.1:81"))).toContain(
    "127.0.0.1:81 is an address that is not public (127.0.0.0/8)",
  );
  expect(await ask(port, connectTo("[::1]:443"))).toContain("[::1]:443 is an address that is not public (::/96)");
});

test("a name is resolved once per connection, so a rebinding zone's second answer is never used", async () => {
  const answers = [["8.8.8.8"], ["127.0.0.1"]];
  let resolutions = 0;
  const dialled: string[] = [];
  const { port } = await startProxy("example.com", {
    resolver: async () => answers[resolutions++] ?? [],
    dial: ({ host }) => {
      dialled.push(host);
      return connect({ host: "127.0.0.1", port: 1 });
    },
  });
  expect(await ask(port, connectTo("example.com:443"))).toMatch(
    /^HTTP\/1\.1 502 Egress failed: example\.com:443 cannot be reached \(ECONNREFUSED\)/,
  );
  expect([resolutions, dialled]).toEqual([1, ["8.8.8.8"]]);
});

test("a socket that is connected to another address than the vetted one is not used", async () => {
  const upstream = await startServer(createTcpServer());
  const { port } = await startProxy("example.com", {
    resolver: async () => ["8.8.8.8"],
    dial: () => connect({ host: "127.0.0.1", port: upstream }),
  });
  expect(await ask(port, connectTo("example.com:443"))).toMatch(/^HTTP\/1\.1 502 .*another address/);
});

test("the next vetted address is tried when one refuses, and when one does not answer in time", async () => {
  const upstream = await startServer(createTcpServer((socket) => socket.end("hello")));
  const dialled: string[] = [];
  const { port } = await startProxy("data.local:7", {
    trusted: [{ name: "data.local", port: 7 }],
    resolver: async () => ["127.0.0.2", "127.0.0.3", "127.0.0.1"],
    dial: ({ host }) => {
      dialled.push(host);
      // 127.0.0.2 refuses at once; 192.0.2.255 is a documentation address that never answers.
      if (host === "127.0.0.3") return connect({ host: "192.0.2.255", port: 9 });
      return connect({ host, port: host === "127.0.0.1" ? upstream : 1, allowHalfOpen: true });
    },
  });
  expect(await ask(port, connectTo("data.local:7"))).toMatch(/ 200 .*hello$/s);
  expect(dialled).toEqual(["127.0.0.2", "127.0.0.3", "127.0.0.1"]);
});

test("a name without answers, one that fails, one that hangs and one with too many are refused with the reason", async () => {
  const answers: Record<string, () => Promise<string[]>> = {
    "empty.example": async () => [],
    "failing.example": async () => {
      throw Object.assign(new Error("x"), { code: "ENOTFOUND" });
    },
    "hanging.example": async () => await new Promise(() => {}),
    "many.example": async () => Array.from({ length: 1000 }, (_, i) => `8.8.${i >> 8}.${i & 255}`),
  };
  const { port, proxy } = await startProxy(Object.keys(answers), {
    resolver: async (name) => (await answers[name]?.()) ?? [],
    budgets: { resolveTimeoutMs: 50 },
    dial: neverDial,
  });
  expect(await ask(port, connectTo("empty.example:443"))).toMatch(/^HTTP\/1\.1 502 .*does not resolve/);
  expect(await ask(port, connectTo("failing.example:443"))).toMatch(/^HTTP\/1\.1 502 .*ENOTFOUND/);
  expect(await ask(port, connectTo("hanging.example:443"))).toMatch(/^HTTP\/1\.1 504 Egress timed out: .*within 50 ms/);
  expect(await ask(port, connectTo("many.example:443"))).toMatch(/^HTTP\/1\.1 403 .*more than 64 addresses/);
  const verdicts = proxy.ledger.close(CALL).egress.map((row) => [row.host, row.verdict]);
  expect(verdicts).toEqual([
    ["empty.example", "failed"],
    ["failing.example", "failed"],
    ["hanging.example", "failed"],
    ["many.example", "denied"],
  ]);
});

test("a trusted name reaches a server on this host, at its port and no other", async () => {
  const upstream = await startServer(createServer((_, response) => response.end("data")));
  const trusted = [{ name: "data.local", port: upstream, address: "127.0.0.1" }];
  const { port } = await startProxy(`data.local:${upstream},data.local:1`, {
    trusted,
    resolver: async () => ["127.0.0.1"],
  });
  expect(await ask(port, get(`http://data.local:${upstream}/`))).toMatch(/ 200 OK.*data$/s);
  expect(await ask(port, connectTo("data.local:1"))).toContain("not public");
});

test("a narrower policy cuts an open tunnel that it denies, and leaves one that it allows", async () => {
  const upstream = await startServer(createTcpServer((socket) => socket.pipe(socket)));
  const trusted = ["a.local", "b.local"].map((name) => ({ name, port: upstream, address: "127.0.0.1" }));
  const { port, proxy } = await startProxy(`a.local:${upstream},b.local:${upstream}`, { trusted });
  const [a, b] = await Promise.all(
    ["a.local", "b.local"].map(async (name) => {
      const client = new RawClient(port).say(connectTo(`${name}:${upstream}`));
      await client.hear(/\r\n\r\n/);
      await client.say("ping").hear(/ping/);
      return client;
    }),
  );
  if (!a || !b) throw new Error("no tunnels");
  proxy.setPolicy(compilePolicy(parsePolicy(`b.local:${upstream}`), { trusted }));
  await a.hearAll();
  await b.say("still").hear(/still/);
  const { egress } = proxy.ledger.close(CALL);
  expect(egress.filter((row) => row.verdict === "denied")).toMatchObject([{ host: "a.local", connections: 1 }]);
  proxy.setPolicy(compilePolicy(parsePolicy(`b.local:${upstream}`)));
  await b.hearAll();
});

test("a policy that narrows while a tunnel is being dialled refuses it, and it is never opened", async () => {
  const dialled = Promise.withResolvers<void>();
  const { port, proxy } = await startProxy("example.com", {
    resolver: async () => ["8.8.8.8"],
    dial: () => {
      dialled.resolve();
      return connect({ host: "192.0.2.255", port: 9 });
    },
  });
  const client = new RawClient(port).say(connectTo("example.com:443"));
  await dialled.promise;
  proxy.setPolicy(compilePolicy(parsePolicy("none")));
  expect(await client.hearAll()).toMatch(
    /^HTTP\/1\.1 403 Egress denied by policy "none": example\.com:443 is not listed/,
  );
  expect(proxy.ledger.close(CALL).egress).toMatchObject([{ host: "example.com", verdict: "denied", connections: 1 }]);
});

test("a guest that leaves while its name is resolved ends the attempt", async () => {
  const asked = Promise.withResolvers<AbortSignal>();
  const { port, proxy } = await startProxy("example.com", {
    resolver: async (_, { signal }) => {
      asked.resolve(signal);
      return await new Promise(() => {});
    },
    dial: neverDial,
  });
  const client = new RawClient(port).say(connectTo("example.com:443"));
  const signal = await asked.promise;
  client.socket.resetAndDestroy();
  if (!signal.aborted) await once(signal, "abort");
  while (proxy.connections > 0) await new Promise(setImmediate);
  expect(proxy.ledger.close(CALL).egress).toMatchObject([
    { verdict: "failed", reason: "the guest closed the connection" },
  ]);
});

test("a guest connection may be any duplex stream, and random bytes on it end in a refusal or nothing", async () => {
  const { proxy } = await startProxy("none", {
    dial: neverDial,
    budgets: { connectionsPerSecond: 1e9, headTimeoutMs: 20 },
  });
  const piece = fc.oneof(
    fc.string({ unit: "binary-ascii", maxLength: 40 }),
    fc.constantFrom(
      "CONNECT a.example:443 HTTP/1.1\r\n",
      "GET http://a.example/ HTTP/1.1\r\n",
      "Host: x\r\n",
      "\r\n",
      "\n",
      "Content-Length: 3\r\n",
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
      const [guest, host] = duplexPair();
      proxy.handle(host, CALL);
      for (const bytes of pieces) guest.write(bytes, "latin1");
      guest.end();
      expect(await text(guest)).toMatch(/^$|^HTTP\/1\.1 (400|403|408|501) [ -~]+\r\n/);
    }),
    { numRuns: 2000 },
  );
  while (proxy.connections > 0) await new Promise(setImmediate);
});

test("closing the proxy ends every connection and refuses later ones", async () => {
  const upstream = await startServer(createTcpServer());
  const trusted = [{ name: "a.local", port: upstream, address: "127.0.0.1" }];
  const { port, proxy } = await startProxy(`a.local:${upstream}`, { trusted });
  const open = new RawClient(port).say(connectTo(`a.local:${upstream}`));
  await open.hear(/\r\n\r\n/);
  await proxy.close();
  await open.hearAll();
  expect(proxy.connections).toBe(0);
  expect(await new RawClient(port).hearAll()).toBe("");
});
