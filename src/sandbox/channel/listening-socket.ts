import { chmodSync, chownSync, lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";

/**
 * Removes a socket that nobody listens on any more. Returns what gives its successor at the same path the same owner
 * and mode. The folder is the host's: no sandbox can plant anything there.
 */
export async function clearDeadSocket(path: string): Promise<() => void> {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before === undefined || !before.isSocket() || (await isListenedOn(path))) return () => undefined;
  rmSync(path, { force: true });
  return () => {
    chownSync(path, before.uid, before.gid);
    chmodSync(path, before.mode & 0o777);
  };
}

async function isListenedOn(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once("connect", () => resolve(true));
  socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
