import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { TrustedUpstream } from "../../src/network/address/trusted-upstreams.ts";
import { compilePolicy, parsePolicy } from "../../src/network/policy/policy.ts";
import { createEgressProxy, type EgressProxy, type EgressProxyOptions } from "../../src/network/proxy/proxy.ts";

export const CALL = "call_test";

export async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Cuts bytes at the given places (taken modulo the length); no part is empty. */
export function splitAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set([0, ...cuts.map((cut) => cut % Math.max(bytes.length, 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end));
}

export interface Rig {
  readonly proxy: EgressProxy;
  /** Port of the listener that hands connections to the proxy. */
  readonly port: number;
}

export interface RigOptions extends Partial<EgressProxyOptions> {
  readonly trusted?: readonly TrustedUpstream[];
}

/** A proxy behind a real listener; everything ends with the test. */
export async function startProxy(
  policyText: string | readonly string[],
  { trusted = [], ...options }: RigOptions = {},
): Promise<Rig> {
  const proxy = createEgressProxy({ policy: compilePolicy(parsePolicy(policyText), { trusted }), ...options });
  const server = createServer({ allowHalfOpen: true }, (socket) => proxy.handle(socket, CALL));
  const port = await listen(server);
  onTestFinished(async () => {
    await proxy.close();
    server.close();
  });
  return { proxy, port };
}

/** Starts a server for the test and gives its port. */
export async function startServer(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
  });
  const port = await listen(server);
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return port;
}

/** A raw client like `nc`: it says exactly what it is told and hears everything. */
export class RawClient {
  readonly socket: Socket;
  #heard = "";
  #isOver = false;
  #wake = Promise.withResolvers<void>();

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk: Buffer) => this.#notice(chunk.toString("latin1"), false));
    for (const event of ["end", "close"]) this.socket.once(event, () => this.#notice("", true));
    onTestFinished(() => void this.socket.destroy());
  }

  get heard(): string {
    return this.#heard;
  }

  say(text: string | Buffer): this {
    this.socket.write(text);
    return this;
  }

  /** Resolves once `pattern` was heard; fails when the connection ends first. */
  async hear(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#heard)) {
      if (this.#isOver) throw new Error(`ended after ${JSON.stringify(this.#heard)}`);
      await this.#wake.promise;
    }
    return this.#heard;
  }

  /** Everything up to the end of the connection. */
  async hearAll(): Promise<string> {
    while (!this.#isOver) await this.#wake.promise;
    return this.#heard;
  }

  #notice(text: string, isOver: boolean): void {
    this.#heard += text;
    this.#isOver ||= isOver;
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

/** One request, one connection, the whole answer. */
export async function ask(port: number, text: string | Buffer): Promise<string> {
  return await new RawClient(port).say(text).hearAll();
}

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export function makeCertificate(name: string): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "paddock-cert-"));
  try {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
    const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", [...made, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
