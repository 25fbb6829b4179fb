import type { Server } from "../api/server-parts.ts";
import { PaddockError } from "../errors/error.ts";

/** Open answers have this long to end before their connections are cut. */
const LAST_ANSWERS_MS = 3000;
const IDLE_MS = 50;

/** The URL that it can be reached at on this machine. Throws `invalid_config` when it cannot listen there. */
export async function listen(server: Server, host: string, port: number): Promise<string> {
  try {
    await server.listen({ host, port });
  } catch (error) {
    throw describe(error as NodeJS.ErrnoException, `${host}:${port}`);
  }
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
export async function stopListening(server: Server): Promise<void> {
  const timer = setTimeout(() => server.server.closeAllConnections(), LAST_ANSWERS_MS);
  // A connection whose answer began before is kept alive after it, by what its headers say.
  const idle = setInterval(() => server.server.closeIdleConnections(), IDLE_MS);
  try {
    await server.close();
  } finally {
    clearTimeout(timer);
    clearInterval(idle);
  }
}
