import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { listen, runClient } from "./http-client-program.ts";

const MIB = 1024 * 1024;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paddock-http-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const target = (facts: object = {}): object => ({
  path: "got.bin",
  derived: false,
  temporary: ".paddock/part",
  sha256: null,
  ...facts,
});

test("http client - a request carries method, headers and body, and the answer comes back as text", async () => {
  await using served = await listen((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      response.setHeader("x-seen", `${request.method} ${String(request.headers["x-word"])} ${request.headers.host}`);
      response.end(`${Buffer.concat(chunks).toString()} naïve`);
    });
  });
  const body = Buffer.from('{"a":"ü"}').toString("base64");
  const ran = await runClient({ url: `${served.url}/p?q=1`, method: "POST", headers: [["X-Word", "w"]], body });
  expect(ran.exitCode).toBe(0);
  expect(ran.answer).toMatchObject({
    status: 200,
    body: '{"a":"ü"} naïve',
    encoding: "utf8",
    truncated: false,
    failure: null,
  });
  expect(new Map(ran.answer.headers).get("x-seen")).toBe(`POST w 127.0.0.1:${served.port}`);
});

test("http client - bytes that are no text come back in base64", async () => {
  await using served = await listen((_request, response) => response.end(Buffer.from([0, 1, 255])));
  const { answer } = await runClient({ url: served.url });
  expect(answer).toMatchObject({ encoding: "base64", body: Buffer.from([0, 1, 255]).toString("base64"), bytes: 3 });
});

test("http client - a body above max_bytes is cut, says so, and never cuts a character in two", async () => {
  await using served = await listen((_request, response) => response.end("€".repeat(1000)));
  const { exitCode, answer } = await runClient({ url: served.url, max_bytes: 100 });
  expect(exitCode).toBe(0);
  expect(answer).toMatchObject({ truncated: true, bytes: 100, encoding: "utf8", body: "€".repeat(33) });
});

test("http client - redirects are followed; 303 becomes GET, 307 keeps method and body", async () => {
  const seen: string[] = [];
  await using served = await listen((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers["content-length"] ?? "-"}`);
    if (request.url === "/a") response.writeHead(307, { location: "/b" }).end();
    else if (request.url === "/b") response.writeHead(303, { location: Buffer.from("c?x=é").toString("latin1") }).end();
    else response.end("there");
  });
  const ran = await runClient({ url: `${served.url}/a`, method: "POST", body: Buffer.from("hi").toString("base64") });
  expect(seen).toEqual(["POST /a 2", "POST /b 2", "GET /c?x=%C3%A9 -"]);
  expect(ran.answer).toMatchObject({ status: 200, body: "there", redirects: 2, url: `${served.url}/c?x=%C3%A9` });
});

test("http client - credentials do not follow a redirect to another origin", async () => {
  await using other = await listen((request, response) => {
    response.end(`${request.headers.authorization ?? "none"} ${String(request.headers["x-kept"])}`);
  });
  await using served = await listen((_request, response) => response.writeHead(302, { location: other.url }).end());
  const headers = [
    ["Authorization", "Bearer s3"],
    ["X-Kept", "yes"],
  ];
  const { answer } = await runClient({ url: served.url, headers });
  expect(answer.body).toBe("none yes");
});

test("http client - the sixth redirect and a redirect to another scheme are failures", async () => {
  await using endless = await listen((_request, response) => response.writeHead(302, { location: "/again" }).end());
  const loop = await runClient({ url: endless.url });
  expect(loop.exitCode).toBe(47);
  expect(loop.answer).toMatchObject({ redirects: 5, status: 302, failure: { kind: "redirects" } });
  await using escaping = await listen((_request, response) =>
    response.writeHead(302, { location: "file:///etc/passwd" }).end(),
  );
  const escaped = await runClient({ url: escaping.url });
  expect(escaped.answer.failure.kind).toBe("redirects");
});

test("http client - a status of 400 or more keeps the body and ends with curl's 22", async () => {
  await using served = await listen((_request, response) => response.writeHead(404, "Not Here").end("no such page"));
  const ran = await runClient({ url: served.url });
  expect(ran.exitCode).toBe(22);
  expect(ran.answer).toMatchObject({ status: 404, body: "no such page", failure: { kind: "http" } });
  expect(ran.stderr).toContain("404 Not Here");
});

test("http client - a refusal by the proxy is denied; the same line from a server is not", async () => {
  const refusal = "Egress denied by none: example.com:80";
  await using proxy = await listen((request, response) => {
    response.writeHead(403, `${refusal} ${request.url}`).end("hint");
  });
  const viaProxy = await runClient({ url: "http://example.com/x" }, { env: { HTTP_PROXY: proxy.url } });
  expect(viaProxy.answer.failure).toEqual({ kind: "denied", message: `${refusal} http://example.com/x` });
  const direct = await runClient(
    { url: proxy.url },
    { env: { HTTP_PROXY: "http://127.0.0.1:9", NO_PROXY: "localhost,127.0.0.1" } },
  );
  expect(direct.answer.failure.kind).toBe("http");
});

test("http client - a refused CONNECT is denied, any other refusal of it a proxy failure", async () => {
  await using proxy = await listen((_request, response) => response.end());
  proxy.server.on("connect", (request, socket) => {
    const line = request.url?.startsWith("denied")
      ? "403 Egress denied by none: denied.test:443"
      : "502 Egress failed: no answer";
    socket.end(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`);
  });
  const env = { HTTPS_PROXY: proxy.url };
  const denied = await runClient({ url: "https://denied.test/" }, { env });
  expect([denied.exitCode, denied.answer.failure]).toEqual([
    22,
    { kind: "denied", message: "Egress denied by none: denied.test:443" },
  ]);
  const failed = await runClient({ url: "https://other.test/" }, { env });
  expect([failed.exitCode, failed.answer.failure.kind]).toEqual([56, "proxy"]);
});

test("http client - refused, reset, cut and slow answers have kinds of their own", async () => {
  const gone = await listen((_request, response) => response.end());
  await gone[Symbol.asyncDispose]();
  await using served = await listen((request, response) => {
    if (request.url === "/reset") request.socket.destroy();
    else if (request.url === "/cut") {
      response.writeHead(200, { "content-length": "100" });
      response.write("only this", () => request.socket.destroy());
    }
  });
  const kinds = await Promise.all(
    [gone.url, `${served.url}/reset`, `${served.url}/cut`].map(
      async (url) => (await runClient({ url })).answer.failure.kind,
    ),
  );
  expect(kinds).toEqual(["refused", "reset", "partial"]);
  const slow = await runClient({ url: `${served.url}/never`, timeout_ms: 200 });
  expect([slow.exitCode, slow.answer.failure.kind]).toEqual([28, "timeout"]);
});

test("http client - a download of 80 MiB streams in flat memory and reports the file's sha256", async () => {
  const part = Buffer.alloc(MIB, 7);
  await using served = await listen((_request, response) => {
    response.writeHead(200, { "content-length": String(80 * MIB) });
    let left = 80;
    const more = (): void => {
      while (left > 0) {
        left -= 1;
        if (!response.write(part)) return void response.once("drain", more);
      }
      response.end();
    };
    more();
  });
  const small = await runClient({ url: served.url, max_bytes: 1, target: target() }, { cwd: folder });
  const ran = await runClient({ url: served.url, max_bytes: 100 * MIB, target: target() }, { cwd: folder });
  const sha256 = createHash("sha256");
  for (let index = 0; index < 80; index++) sha256.update(part);
  expect(ran.answer).toMatchObject({
    path: "got.bin",
    bytes: 80 * MIB,
    sha256: sha256.digest("hex"),
    status: 200,
    failure: null,
  });
  expect(ran.peakKib).toBeLessThan(small.peakKib + 8 * 1024);
  expect(await readdir(join(folder, ".paddock"))).toEqual([]);
});

test("http client - a wrong sha256, a broken or a too long download leaves what was there", async () => {
  await writeFile(join(folder, "got.bin"), "before");
  await using served = await listen((request, response) => {
    if (request.url === "/cut") {
      response.writeHead(200, { "content-length": "100" });
      response.write("only this", () => request.socket.destroy());
    } else response.end("x".repeat(1000));
  });
  const wrong = await runClient({ url: served.url, target: target({ sha256: "0".repeat(64) }) }, { cwd: folder });
  const cut = await runClient({ url: `${served.url}/cut`, target: target() }, { cwd: folder });
  const long = await runClient({ url: served.url, max_bytes: 999, target: target() }, { cwd: folder });
  const kinds = [wrong, cut, long].map((ran) => [ran.exitCode, ran.answer.failure.kind]);
  expect(kinds).toEqual([
    [65, "checksum"],
    [18, "partial"],
    [63, "too_large"],
  ]);
  expect(await readFile(join(folder, "got.bin"), "utf8")).toBe("before");
  expect(await readdir(join(folder, ".paddock"))).toEqual([]);
});

test("http client - a name from the URL never replaces other content, and the same content is not kept twice", async () => {
  await using served = await listen((request, response) => response.end(request.url));
  const derived = target({ path: "data/file.csv", derived: true });
  const paths: string[] = [];
  for (const path of ["/one", "/two", "/one"]) {
    paths.push((await runClient({ url: served.url + path, target: derived }, { cwd: folder })).answer.path);
  }
  expect(paths).toEqual(["data/file.csv", "data/file-1.csv", "data/file.csv"]);
  expect(await readFile(join(folder, "data/file-1.csv"), "utf8")).toBe("/two");
});

test("http client - an error page is not saved as the file", async () => {
  await using served = await listen((_request, response) => response.writeHead(503).end("try later"));
  const ran = await runClient({ url: served.url, target: target() }, { cwd: folder });
  expect(ran.exitCode).toBe(22);
  expect(ran.answer).toMatchObject({ status: 503, body: "try later" });
  expect(await readdir(folder)).toEqual([]);
});
