import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Home } from "../config/home.ts";
import { PaddockError } from "../errors/error.ts";
import { makeOpenFolder } from "../lib/open-folder.ts";
import { DRIVER_VARIABLES, type KeeperCard, type KeeperLine, type KeeperStart, toErrorCode } from "./protocol.ts";

/** In the data folder: what keepers say when something breaks. */
const KEEPERS_LOG = "keepers.log";

/**
 * Starts a detached keeper and waits until its sandbox is ready. Returns the sandbox's id. An abort ends a keeper that
 * is not ready yet.
 */
export async function spawnKeeper(
  home: Home,
  entry: string,
  start: KeeperStart,
  signal: AbortSignal,
  onProgress: (text: string) => void,
  driver: KeeperCard["driver"] = pickDriver(process.env),
): Promise<string> {
  makeOpenFolder(home.root);
  const log = openSync(join(home.root, KEEPERS_LOG), "a", 0o600);
  const child = spawn(process.execPath, [entry, "keeper"], {
    detached: true,
    stdio: ["pipe", "pipe", log],
    cwd: "/",
    env: { ...withoutDriver(process.env), ...driver, PADDOCK_HOME: home.root },
  });
  closeSync(log);
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new PaddockError("internal", "the keeper has no pipes");
  const abort = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", abort, { once: true });
  stdin.end(JSON.stringify(start));
  try {
    for await (const line of createInterface({ input: stdout })) {
      const message = JSON.parse(line) as KeeperLine;
      if ("progress" in message) onProgress(message.progress);
      else if ("ready" in message) return message.ready;
      else throw new PaddockError(toErrorCode(message.error.code), message.error.message, { hint: message.error.hint });
    }
    if (signal.aborted) throw new PaddockError("cancelled", "the sandbox was not needed any more");
    throw new PaddockError("create_failed", "the keeper ended before its sandbox was ready", {
      hint: `${join(home.root, KEEPERS_LOG)} says why.`,
    });
  } finally {
    signal.removeEventListener("abort", abort);
    stdout.destroy();
    child.unref();
  }
}

/** The variables that choose the driver, as far as they are set. */
export function pickDriver(env: NodeJS.ProcessEnv): KeeperCard["driver"] {
  return Object.fromEntries(
    DRIVER_VARIABLES.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const])),
  );
}

const withoutDriver = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !DRIVER_VARIABLES.some((variable) => variable === name)));
