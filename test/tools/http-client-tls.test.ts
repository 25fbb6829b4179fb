import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Listening, listen, runClient } from "./http-client-program.ts";

let folder: string;
let certificate: string;
let proxy: Listening;
let port: number;
const tunnels: string[] = [];
const closing: (() => void)[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "paddock-tls-"));
  certificate = join(folder, "crt.pem");
  const key = join(folder, "key.pem");
  const subject = ["-subj", "/CN=site.test", "-addext", "subjectAltName=DNS:site.test"];
  const algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...algorithm, "-keyout", key, "-out", certificate, ...subject], {
    stdio: "ignore",
  });
  const site = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
    response.end(`secure ${request.url} ${request.headers.host}`);
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  ({ port } = site.address() as AddressInfo);
  proxy = await listen((_request, response) => response.end());
  proxy.server.on("connect", (request, socket) => {
    tunnels.push(request.url ?? "");
    const upstream = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on("error", () => undefined);
  });
  closing.push(
    () => site.closeAllConnections(),
    () => site.close(),
  );
});

afterAll(async () => {
  for (const close of closing) close();
  await proxy[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test("http client - https goes through a CONNECT tunnel, and the operator's certificates are trusted", async () => {
  const env = { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: certificate };
  const ran = await runClient({ url: "https://site.test/p?q=1" }, { env });
  expect(ran.answer).toMatchObject({ status: 200, body: "secure /p?q=1 site.test", failure: null });
  expect(tunnels.at(-1)).toBe("site.test:443");
});

test("http client - an unknown issuer or another name is a certificate failure, never sent anyway", async () => {
  const unknown = await runClient({ url: "https://site.test/" }, { env: { HTTPS_PROXY: proxy.url } });
  const env = { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: certificate };
  const other = await runClient({ url: "https://other.test/" }, { env });
  for (const ran of [unknown, other])
    expect([ran.exitCode, ran.answer.failure.kind, ran.answer.status]).toEqual([60, "certificate", undefined]);
});
