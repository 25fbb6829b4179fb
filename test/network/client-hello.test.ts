import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { connect } from "node:tls";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { type ServerName, ServerNameReader } from "../../src/network/proxy/client-hello.ts";
import { listen, splitAt } from "./harness.ts";

let named: Buffer;
let nameless: Buffer;

beforeAll(async () => {
  named = await captureClientHello("host.example");
  nameless = await captureClientHello(undefined);
});

/** What Node's own TLS client sends first. */
async function captureClientHello(servername: string | undefined): Promise<Buffer> {
  const server = createServer();
  const port = await listen(server);
  const client = connect({ host: "127.0.0.1", port, ...(servername === undefined ? {} : { servername }) });
  client.on("error", () => {});
  const [socket] = (await once(server, "connection")) as [Socket];
  const [chunk] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return chunk;
}

function read(parts: readonly Buffer[]): ServerName {
  const reader = new ServerNameReader();
  return parts.map((part) => reader.push(part)).at(-1) ?? { kind: "more" };
}

test("the name of a real ClientHello is found, and its absence too", () => {
  expect(read([named])).toEqual({ kind: "name", name: "host.example" });
  expect(read([nameless])).toEqual({ kind: "absent" });
});

test("bytes after the ClientHello do not change the answer", () => {
  expect(read([Buffer.concat([named, Buffer.from("early data")])])).toEqual({ kind: "name", name: "host.example" });
});

test("every way of cutting a ClientHello into chunks and records gives the same answer", () => {
  const cuts = fc.array(fc.nat(2000), { maxLength: 30 });
  fc.assert(
    fc.property(fc.constantFrom("named", "nameless"), cuts, cuts, (which, chunkCuts, recordCuts) => {
      const hello = which === "named" ? named : nameless;
      const records = splitAt(hello.subarray(5), recordCuts).map((part) =>
        Buffer.concat([recordHeader(part.length), part]),
      );
      expect(read(splitAt(Buffer.concat(records), chunkCuts))).toEqual(read([hello]));
    }),
    { numRuns: 500 },
  );
});

test("a prefix of a ClientHello asks for more", () => {
  for (let length = 1; length < named.length; length++)
    expect(read([named.subarray(0, length)])).toEqual({ kind: "more" });
});

test.each([
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n")],
  ["an SSH banner", Buffer.from("SSH-2.0-x\r\n")],
  ["a TLS alert", Buffer.from([21, 3, 1, 0, 2, 2, 40])],
  ["SSL 2", Buffer.from([0x80, 0x2e, 1, 3, 1])],
  ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
  ["a ServerHello", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
  ["a handshake of 16 MiB", Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255])],
])("%s is no ClientHello", (_, bytes) => {
  expect(read([bytes])).toEqual({ kind: "invalid" });
});

test("a ClientHello in one-byte records ends at the limit of 16 KiB", () => {
  const padding = Buffer.concat(
    Array.from({ length: 4000 }, (_, i) => Buffer.from([22, 3, 1, 0, 1, i === 0 ? 1 : i === 2 ? 0x30 : 0])),
  );
  expect(read([padding])).toEqual({ kind: "invalid" });
});

test("two names, or an encrypted ClientHello, are not taken for one name", () => {
  const list = (name: string): Buffer => Buffer.concat([Buffer.from([0, 0, name.length]), Buffer.from(name)]);
  const names = (...entries: Buffer[]): Buffer => vector(2, Buffer.concat(entries));
  expect(read([makeHello([[0, names(list("a.example"))]])])).toEqual({ kind: "name", name: "a.example" });
  expect(read([makeHello([[0, names(list("a.example"), list("b.example"))]])])).toEqual({ kind: "invalid" });
  expect(
    read([
      makeHello([
        [0, names(list("a.example"))],
        [0, names(list("b.example"))],
      ]),
    ]),
  ).toEqual({ kind: "invalid" });
  expect(
    read([
      makeHello([
        [0, names(list("a.example"))],
        [0xfe0d, Buffer.from([0])],
      ]),
    ]),
  ).toEqual({ kind: "hidden" });
});

test("random and mutated bytes never throw", () => {
  const random = fc.uint8Array({ maxLength: 400 }).map((data) => Buffer.from(data));
  const mutation = fc.tuple(fc.nat(2000), fc.nat(255));
  fc.assert(
    fc.property(
      random,
      fc.array(mutation, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(2000), { maxLength: 5 }),
      (bytes, mutations, cuts) => {
        const mutated = Buffer.from(named);
        for (const [index, value] of mutations) mutated[index % mutated.length] = value;
        for (const parts of [splitAt(bytes, cuts), splitAt(mutated, cuts)]) {
          expect(["more", "absent", "hidden", "invalid", "name"]).toContain(read(parts).kind);
        }
      },
    ),
    { numRuns: 5000 },
  );
});

const recordHeader = (length: number): Buffer => Buffer.from([22, 3, 1, length >> 8, length & 255]);

function vector(lengthBytes: number, data: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(data.length, 0, lengthBytes);
  return Buffer.concat([length, data]);
}

function makeHello(extensions: readonly (readonly [type: number, data: Buffer])[]): Buffer {
  const listed = extensions.map(([type, data]) =>
    Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, data)]),
  );
  const fixed = [
    Buffer.alloc(34),
    vector(1, Buffer.alloc(0)),
    vector(2, Buffer.from([0x13, 1])),
    vector(1, Buffer.from([0])),
  ];
  const handshake = Buffer.concat([
    Buffer.from([1]),
    vector(3, Buffer.concat([...fixed, vector(2, Buffer.concat(listed))])),
  ]);
  return Buffer.concat([recordHeader(handshake.length), handshake]);
}
