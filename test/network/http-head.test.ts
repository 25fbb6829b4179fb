import fc from "fast-check";
import { expect, test } from "vitest";
import { frameRequest, frameResponse, keepEndToEnd } from "../../src/network/http/http-framing.ts";
import { HeadScan, parseRequestHead, parseResponseHead } from "../../src/network/http/http-head.ts";
import { interpretRequest, renderRequest } from "../../src/network/http/http-request.ts";
import { Refusal } from "../../src/network/refusal.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const readRequest = (text: string) => interpretRequest(parseRequestHead(bytes(text)));
const get = (...headers: string[]): string =>
  ["GET http://example.com/a?b HTTP/1.1", "Host: example.com", ...headers, "", ""].join("\r\n");

test("a plain request reaches the upstream with one Host from its URL and nothing about guest or proxy", () => {
  const text = [
    "POST HTTP://Example.COM:8080/a?b=c HTTP/1.1",
    "Host: other.example",
    "Connection: keep-alive, X-Private",
    "X-Private: 1",
    "Keep-Alive: timeout=5",
    "Proxy-Authorization: Basic eA==",
    "Proxy-Connection: keep-alive",
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-Host: a",
    "Forwarded: for=10.0.0.1",
    "Via: 1.1 guest",
    "TE: trailers",
    "Trailer: x",
    "Accept: */*",
    "Content-Length: 3",
    "",
    "",
  ].join("\r\n");
  const request = readRequest(text);
  if (request.kind !== "plain" || !request.authority.ok) throw new Error("not a plain request");
  expect(renderRequest(request, request.authority.value).toString("latin1")).toBe(
    "POST /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nContent-Length: 3\r\n\r\n",
  );
});

test.each([
  ["http://example.com", "/"],
  ["http://example.com?x=1", "/?x=1"],
  ["http://example.com/", "/"],
])("the target %j is the path %j", (target, path) => {
  expect(readRequest(`GET ${target} HTTP/1.1\r\nHost: example.com\r\n\r\n`)).toMatchObject({ path });
});

const malformed: [what: string, text: string][] = [
  ["two Content-Length", get("Content-Length: 1", "Content-Length: 1")],
  ["a list as Content-Length", get("Content-Length: 1, 1")],
  ["a signed Content-Length", get("Content-Length: +1")],
  ["Transfer-Encoding and Content-Length", get("Transfer-Encoding: chunked", "Content-Length: 1")],
  ["two Transfer-Encoding", get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")],
  ["another Transfer-Encoding", get("Transfer-Encoding: gzip, chunked")],
  ["a space before the colon", get("Transfer-Encoding : chunked")],
  ["a folded header", get("X-A: 1", " folded")],
  ["a folded header by tab", get("X-A: 1", "\tfolded")],
  ["a header without colon", get("X-A")],
  ["an empty header name", get(": x")],
  ["NUL in a value", get("X-A: a\0b")],
  ["a bare CR in a value", get("X-A: a\rb")],
  ["DEL in a value", get("X-A: a\x7fb")],
  ["two Hosts", get("Host: example.com")],
  ["101 headers", get(...Array.from({ length: 100 }, (_, i) => `X-${i}: 1`))],
  ["no Host", "GET http://example.com/ HTTP/1.1\r\nX: y\r\n\r\n"],
  ["HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n"],
  ["HTTP/0.9", "GET http://example.com/\r\n\r\n"],
  ["two spaces", "GET  http://example.com/ HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["origin form", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"],
  ["asterisk form", "OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n"],
  ["an https URL", "GET https://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"],
  ["a fragment", "GET http://example.com/#x HTTP/1.1\r\nHost: example.com\r\n\r\n"],
  ["a control character in the path", "GET http://example.com/\x01 HTTP/1.1\r\nHost: example.com\r\n\r\n"],
  ["a body on CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"],
  ["chunks in HTTP/1.0", "POST http://a.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"],
];
test.each(malformed)("a request with %s is refused as malformed", (_, text) => {
  expect(() => readRequest(text)).toThrow(expect.objectContaining({ status: 400 }));
});

test("a request that asks for an upgrade is refused", () => {
  expect(() => readRequest(get("Connection: Upgrade", "Upgrade: h2c"))).toThrow(
    expect.objectContaining({ status: 501 }),
  );
});

test.each([
  ["a bare LF", "GET http://a.example/ HTTP/1.1\nHost: a\n\n", /bare LF/],
  ["a bare LF after CR LF", "GET / HTTP/1.1\r\nHost: a\n\r\n", /bare LF/],
  ["a leading LF", "\nGET / HTTP/1.1\r\n\r\n", /bare LF/],
  ["17 KiB", `GET / HTTP/1.1\r\nX: ${"a".repeat(17 * 1024)}\r\n\r\n`, /longer/],
])("a head with %s never ends well", (_, text, reason) => {
  expect(new HeadScan(16 * 1024).push(bytes(text))).toMatch(reason);
});

test("a head ends behind its empty line, and empty lines before it are skipped", () => {
  const text = "\r\n\r\nGET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
  expect(new HeadScan(1024).push(bytes(`${text}body`))).toBe(text.length);
  expect(new HeadScan(1024).push(bytes(text.slice(0, -1)))).toBeUndefined();
  expect(parseRequestHead(bytes(text)).method).toBe("GET");
});

test.each([
  ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", { kind: "length", bytes: 5 }],
  ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", { kind: "none" }],
  ["HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET", { kind: "chunked" }],
  ["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", { kind: "none" }],
  ["HTTP/1.1 204 No Content\r\n\r\n", "GET", { kind: "none" }],
  ["HTTP/1.0 200 OK\r\n\r\n", "GET", { kind: "close" }],
])("the answer %j to %s is framed as %j", (text, method, framing) => {
  expect(frameResponse(parseResponseHead(bytes(text)), method)).toEqual(framing);
});

test.each(["HTTP/1.1 99 x", "HTTP/2 200 OK", "ICY 200 OK", "HTTP/1.1 200 a\0"])(
  "the status line %j is refused",
  (line) => {
    expect(() => parseResponseHead(bytes(`${line}\r\n\r\n`))).toThrow(expect.objectContaining({ status: 502 }));
  },
);

test("fields named by Connection do not go on", () => {
  expect(
    keepEndToEnd([
      ["connection", "a, B"],
      ["A", "1"],
      ["b", "2"],
      ["c", "3"],
    ]),
  ).toEqual([["c", "3"]]);
});

test("any bytes are a request or a refusal, and what goes on to the upstream is one clean request", () => {
  const line = fc.oneof(
    fc.string({ unit: "binary-ascii", maxLength: 30 }),
    fc.constantFrom(
      "Host: a.example",
      "Content-Length: 3",
      "Transfer-Encoding: chunked",
      "X: y",
      " z",
      "Connection: x, host",
      "",
    ),
  );
  const target = fc.oneof(fc.webUrl({ validSchemes: ["http"] }), fc.string({ unit: "binary-ascii", maxLength: 30 }));
  const text = fc.tuple(
    fc.constantFrom("GET", "POST", "CONNECT", "G(T"),
    target,
    fc.array(line, { maxLength: 8 }),
    fc.constantFrom("\r\n", "\n", "\r"),
  );
  fc.assert(
    fc.property(text, ([method, url, lines, end]) => {
      const raw = bytes([`${method} ${url} HTTP/1.1`, "Host: h", ...lines, "", ""].join(end));
      const headEnd = new HeadScan(16 * 1024).push(raw);
      if (typeof headEnd !== "number") return;
      const request = interpretOrRefuse(raw.subarray(0, headEnd));
      if (request?.kind !== "plain" || !request.authority.ok) return;
      const rendered = renderRequest(request, request.authority.value);
      expect(new HeadScan(64 * 1024).push(rendered)).toBe(rendered.length);
      const again = parseRequestHead(rendered);
      expect(again.headers.filter(([name]) => name.toLowerCase() === "host")).toHaveLength(1);
      expect(frameRequest(again)).toEqual(request.framing);
    }),
    { numRuns: 5000 },
  );
});

function interpretOrRefuse(head: Buffer): ReturnType<typeof interpretRequest> | undefined {
  try {
    return interpretRequest(parseRequestHead(head));
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(Refusal);
    return undefined;
  }
}
