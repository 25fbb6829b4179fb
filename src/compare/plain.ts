import { spawn } from "node:child_process";
import { once } from "node:events";

const LIMIT_MS = 60_000;

/** Milliseconds from spawn to exit of a plain process. Out of reach of a terminal's Ctrl-C, so that it ends whole. */
export async function timePlain(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const begun = performance.now();
  const child = spawn(command, args, { stdio: "ignore", env, detached: true, timeout: LIMIT_MS });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}`);
  return performance.now() - begun;
}

/** What the plain counterparts of a container engine offer: the same image and runtime, and none of ours. */
export interface PlainEngine {
  readonly via: "docker CLI" | "engine API";
  /** Names of the runtimes it knows. */
  listRuntimes(): Promise<readonly string[]>;
  /** Starts a container that sleeps. */
  start(image: string, runtime: string): Promise<PlainContainer>;
}

export interface PlainContainer {
  /** Milliseconds of a whole new container: create, start, `true`, remove. */
  timeRun(): Promise<number>;
  /** Milliseconds of `true` in the container that sleeps. */
  timeExec(): Promise<number>;
  remove(): Promise<void>;
}

/** A container that outlives a killed owner removes itself after this time. */
export const SLEEP_SECONDS = 3600;
export const SLEEP = ["/usr/bin/sleep", String(SLEEP_SECONDS)] as const;
export const TRUE = ["/usr/bin/true"] as const;
