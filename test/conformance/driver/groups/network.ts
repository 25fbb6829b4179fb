import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "vitest";
import type { Checks } from "../check.ts";

const LISTEN = `
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    peer, _ = server.accept()
    data = b""
    while not data.endswith(b"end"):
        data += peer.recv(65536)
    peer.sendall(str(len(data)).encode())
    peer.close()
`;

/** Asks through the proxy variables, as any client does; the status or the error. */
const ask = (url: string): string => `
import urllib.error, urllib.request
try:
    result = urllib.request.urlopen(${JSON.stringify(url)}, timeout=10).read().decode()
except urllib.error.HTTPError as error:
    result = f"{error.code} {error.reason}"
except OSError as error:
    result = str(error)
`;

async function serve(): Promise<{ server: Server; port: number }> {
  const server = createServer((_, response) => response.end("from upstream"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

export function checkNetwork(checks: Checks): void {
  checks.check("ports: a stream reaches a server inside, both ways", async (bed) => {
    await using guest = await bed.guest();
    const { promise, resolve } = Promise.withResolvers<number>();
    await guest.startPython(LISTEN, { onOutput: (_, chunk) => resolve(Number(chunk.toString())) });
    const stream = await guest.sandbox.connect(await promise);
    stream.end(Buffer.concat([Buffer.alloc(2_000_000), Buffer.from("end")]));
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe("2000003");
    await expect(guest.sandbox.connect(1)).rejects.toMatchObject({ name: "PaddockError" });
  });

  checks.check("egress: nothing is reached unless the policy allows it", async (bed) => {
    const { server, port } = await serve();
    let reached = 0;
    server.on("request", () => (reached += 1));
    try {
      await using guest = await bed.guest();
      expect(await guest.python(ask(`http://upstream.test:${port}/`))).toMatch(/^403 /);
      expect(await guest.python(ask("https://upstream.test/"))).toMatch(/403/);
      expect(reached).toBe(0);
    } finally {
      server.close();
    }
  });

  checks.check("egress: an allowed host is reached through the proxy, and no other", async (bed) => {
    const { server, port } = await serve();
    try {
      const trusted = [{ name: "upstream.test", port, address: "127.0.0.1" }];
      await using guest = await bed.guest({ network: `upstream.test:${port}`, trusted });
      expect(await guest.python(ask(`http://upstream.test:${port}/`))).toBe("from upstream");
      expect(await guest.python(ask(`http://other.test:${port}/`))).toMatch(/^403 /);
    } finally {
      server.close();
    }
  });

  checks.check("egress: there is no device but loopback, no route, no resolver, no socket of the host", async (bed) => {
    const { server, port } = await serve();
    let reached = 0;
    server.on("connection", () => (reached += 1));
    try {
      await using guest = await bed.guest();
      const found = await guest.python<Record<string, unknown>>(`
import os, socket
result = {"devices": sorted({name for _, name in socket.if_nameindex()}), "reached": []}
for family, address in [(socket.AF_INET, ("127.0.0.1", ${port})), (socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_INET, ("169.254.169.254", 80)),
                        (socket.AF_INET6, ("2606:4700:4700::1111", 443)), (socket.AF_UNIX, "/var/run/docker.sock"), (40, (2, 22))]:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(1); one.connect(address)
            result["reached"].append(str(address))
    except (OSError, OverflowError): pass
try:
    socket.getaddrinfo("example.com", 443); result["reached"].append("resolver")
except OSError: pass
`);
      expect(found).toEqual({ devices: ["lo"], reached: [] });
      expect(reached).toBe(0);
    } finally {
      server.close();
    }
  });
}
