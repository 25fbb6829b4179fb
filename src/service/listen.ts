import type { Socket } from "node:net";
import type { Server } from "../api/http/server-services.ts";
import { PaddockError } from "../errors/error.ts";

/** Open answers have this long to end before their connections are cut. */
const LAST_ANSWERS_MS = 3000;
const IDLE_MS = 50;

export interface Listener extends AsyncDisposable {
  /** Where it can be reached on this machine. */
  readonly url: string;
}

/**
 * CloseStack it closes the server. Throws `invalid_config` when it cannot listen there; the server is closed then, too.
 */
export async function listen(server: Server, host: string, port: number): Promise<Listener> {
  const silent = trackSilent(server);
  try {
    await server.listen({ host, port });
  } catch (error) {
    await server.close();
    throw describe(error as NodeJS.ErrnoException, `${host}:${port}`);
  }
  return { url: readUrl(server, host, port), [Symbol.asyncDispose]: async () => await stopListening(server, silent) };
}

function readUrl(server: Server, host: string, port: number): string {
  const address = server.server.address();
  const bound = typeof address === "object" && address !== null ? address : { address: host, port };
  const name = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }[bound.address] ?? bound.address;
  return `http://${name.includes(":") && !name.startsWith("[") ? `[${name}]` : name}:${bound.port}`;
}

function describe(error: NodeJS.ErrnoException, place: string): unknown {
  const why = {
    EADDRINUSE: "is in use by another program",
    EACCES: "may not be used by this user",
    EADDRNOTAVAIL: "is no address of this machine",
    ENOTFOUND: "is no address of this machine",
  }[error.code ?? ""];
  if (why === undefined) return error;
  return new PaddockError("invalid_config", `${place} ${why}`, {
    cause: error,
    hint: "Choose another one with --host and --port, or in config.json (service.host, service.port).",
  });
}

/** Stops listening, lets open answers end, then cuts what is left. */
async function stopListening(server: Server, silent: ReadonlySet<Socket>): Promise<void> {
  const timer = setTimeout(() => server.server.closeAllConnections(), LAST_ANSWERS_MS);
  // A connection whose answer began before is kept alive after it, by what its headers say.
  const idle = setInterval(() => server.server.closeIdleConnections(), IDLE_MS);
  try {
    const closed = server.close();
    for (const socket of silent) socket.destroy();
    await closed;
  } finally {
    clearTimeout(timer);
    clearInterval(idle);
  }
}

/** Connections that clients opened ahead and have asked nothing on. Node takes them for busy ones. */
function trackSilent({ server }: Server): ReadonlySet<Socket> {
  const silent = new Set<Socket>();
  server.on("connection", (socket) => {
    silent.add(socket);
    socket.once("close", () => silent.delete(socket));
  });
  server.on("request", ({ socket }) => silent.delete(socket));
  return silent;
}
