import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { testEngine } from "../../support/engine.ts";

/** What happens to bytes between driver and engine. */
type Link = "open" | "cut" | "stalled";

function makeCertificate(folder: string): void {
  const algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
  execFileSync("openssl", ["req", "-x509", ...algorithm, ...files, ...subject], { stdio: "ignore" });
  execFileSync("cp", [join(folder, "cert.pem"), join(folder, "ca.pem")]);
}

/**
 * The tests' engine behind TCP and TLS with client certificates, as a remote one is reached. Its link can be cut and
 * stalled.
 */
export class RemoteEngine implements AsyncDisposable {
  readonly port: number;
  /** ca.pem, cert.pem and key.pem, as DOCKER_CERT_PATH wants them. */
  readonly certificates: string;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #link: Link = "open";

  private constructor(server: Server, certificates: string) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.certificates = certificates;
  }

  static async open(): Promise<RemoteEngine> {
    const folder = mkdtempSync(join(tmpdir(), "paddock-remote-"));
    makeCertificate(folder);
    const [key, cert] = ["key.pem", "cert.pem"].map((name) => readFileSync(join(folder, name)));
    const server = createServer({ key, cert, ca: cert, requestCert: true, rejectUnauthorized: true });
    server.on("tlsClientError", () => undefined);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const engine = new RemoteEngine(server, folder);
    server.on("secureConnection", (socket) => engine.#join(socket));
    return engine;
  }

  /** Names it as people do. */
  get env(): NodeJS.ProcessEnv {
    return { DOCKER_HOST: `tcp://127.0.0.1:${this.port}`, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: this.certificates };
  }

  /** Ends every connection and refuses new ones. */
  cut(): void {
    this.#link = "cut";
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Connections stay and are accepted; nothing passes. */
  stall(): void {
    this.#link = "stalled";
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  restore(): void {
    this.#link = "open";
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  #join(socket: Socket): void {
    if (this.#link === "cut") {
      socket.destroy();
      return;
    }
    const upstream = connect({ path: testEngine().socket, allowHalfOpen: true });
    const pair = [socket, upstream] as const;
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [upstream, socket] as const]) {
      from.on("data", (chunk) => void to.write(chunk));
      from.on("end", () => void to.end());
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
      if (this.#link === "stalled") from.pause();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    rmSync(this.certificates, { recursive: true });
  }
}
