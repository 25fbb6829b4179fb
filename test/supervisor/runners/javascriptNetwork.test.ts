import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { JavaScriptClient, runJavaScript } from "./javascriptClient.ts";

const folder = mkdtempSync(join(tmpdir(), "paddock-runner-"));
const certificateFile = join(folder, "cert.pem");
const seen: string[] = [];
let origin: http.Server;
let secureOrigin: https.Server;
let proxy: http.Server;

const portOf = (server: net.Server): number => (server.address() as AddressInfo).port;

/** Every name leads to the two local origins: what arrives under an invented name has come through the proxy. */
function makeProxy(): http.Server {
  const server = http.createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end("through the proxy");
  });
  server.on("connect", (request, socket) => {
    seen.push(`CONNECT ${request.url}`);
    const port = request.url?.endsWith(":443") === true ? portOf(secureOrigin) : portOf(origin);
    const upstream = net.connect(port, "127.0.0.1", () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
    socket.pipe(upstream).pipe(socket);
  });
  return server;
}

beforeAll(async () => {
  const key = join(folder, "key.pem");
  const subject = ["-subj", "/CN=paddock.test", "-addext", "subjectAltName=DNS:paddock.test"];
  const kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", [...kind, "-keyout", key, "-out", certificateFile, ...subject], { stdio: "ignore" });
  origin = http.createServer((_request, response) => response.end("origin"));
  secureOrigin = https.createServer(
    { key: readFileSync(key), cert: readFileSync(certificateFile) },
    (_request, response) => response.end("secure origin"),
  );
  proxy = makeProxy();
  for (const server of [origin, secureOrigin, proxy]) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
});

beforeEach(() => {
  seen.length = 0;
});

afterAll(() => {
  for (const server of [origin, secureOrigin, proxy]) server.close();
  rmSync(folder, { recursive: true });
});

function makeEnv(): Record<string, string> {
  const url = `http://127.0.0.1:${portOf(proxy)}`;
  const noProxy = "localhost,127.0.0.1,::1";
  return { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: noProxy, NODE_EXTRA_CA_CERTS: certificateFile };
}

const getOver = (module: string, url: string): string =>
  `await new Promise((done, fail) => require("${module}").get("${url}", (r) => r.setEncoding("utf8").on("data", done)).on("error", fail))`;

test.each([
  [
    "fetch of https",
    `await (await fetch("https://paddock.test/a")).text()`,
    "secure origin",
    "CONNECT paddock.test:443",
  ],
  ["https.get", getOver("https", "https://paddock.test/a"), "secure origin", "CONNECT paddock.test:443"],
  ["http.get", getOver("http", "http://paddock.test/a"), "through the proxy", "GET http://paddock.test/a"],
])("%s goes through the proxy of the request and trusts its certificates", async (_name, code, value, line) => {
  const { result, stderr } = await runJavaScript(code, { env: makeEnv() });
  expect([result.value, stderr]).toEqual([value, ""]);
  expect(seen).toEqual([line]);
});

test("fetch of http goes through the proxy", async () => {
  const { result } = await runJavaScript(`await (await fetch("http://paddock.test/a")).text()`, { env: makeEnv() });
  expect(["origin", "through the proxy"]).toContain(result.value);
  expect(seen).toHaveLength(1);
});

test("a name in NO_PROXY is reached directly, and so is everything without proxy variables", async () => {
  const code = `await (await fetch("http://127.0.0.1:${portOf(origin)}/")).text()`;
  expect((await runJavaScript(code, { env: makeEnv() })).result.value).toBe("origin");
  expect((await runJavaScript(code)).result.value).toBe("origin");
  expect(seen).toEqual([]);
});

test("a runner that was started with these variables follows them, and lets go of them where the request has none", async () => {
  const code = `await (await fetch("https://paddock.test/")).text()`;
  const same = new JavaScriptClient(false, { ...makeEnv(), NODE_USE_ENV_PROXY: "1" });
  same.send(code, { env: makeEnv() });
  expect((await same.end()).results[0]?.value).toBe("secure origin");
  expect(seen).toEqual(["CONNECT paddock.test:443"]);
  const other = new JavaScriptClient(false, { ...makeEnv(), NODE_USE_ENV_PROXY: "1" });
  other.send(code);
  expect((await other.end()).results[0]?.error?.message).toBe("fetch failed");
  expect(seen).toHaveLength(1);
});

test("a certificate that the environment does not name is refused", async () => {
  const { NODE_EXTRA_CA_CERTS: _certificates, ...env } = makeEnv();
  const { result } = await runJavaScript(`await fetch("https://paddock.test/").catch((e) => e.cause.code)`, { env });
  expect(result.value).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
});

test("a run that does not use the network does not load Node's network code", async () => {
  const code = "console.log('a'); process.moduleLoadList.filter((name) => /undici|_tls_|_http_/.test(name)).join()";
  expect((await runJavaScript(code, { env: makeEnv() })).result.value).toBe("");
});

test("a context follows the proxy of each request", async () => {
  const context = new JavaScriptClient(true);
  const second = makeProxy();
  second.listen(0, "127.0.0.1");
  await once(second, "listening");
  const code = `await (await fetch("https://paddock.test/", { signal: AbortSignal.timeout(5000) })).text()`;
  expect((await context.ask(code, { env: makeEnv() })).value).toBe("secure origin");
  const moved = `http://127.0.0.1:${portOf(second)}`;
  proxy.closeAllConnections();
  expect((await context.ask(code, { env: { ...makeEnv(), HTTPS_PROXY: moved } })).value).toBe("secure origin");
  expect(seen).toHaveLength(2);
  context.process.kill("SIGKILL");
  second.close();
  second.closeAllConnections();
});
