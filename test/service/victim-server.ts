import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CLI } from "../support/cli.ts";

const STEPPER = fileURLToPath(new URL("die-at-step.ts", import.meta.url));
const READY_MS = 60_000;
const POLL_MS = 5;

export interface Running {
  readonly url: string;
  /** From its start until `/ready` said yes. */
  readonly readyMs: number;
  kill(): Promise<void>;
  /** Resolves when it has been killed, by its own hand or by `kill`. */
  died(): Promise<void>;
  stop(): Promise<number | null>;
}

/** `paddock serve` over a data folder. The token is that of the first start. `dieAt`: see die-at-step.ts. */
export async function startServer(
  root: string,
  dieAt?: string,
): Promise<Running & { readonly adminToken: string | null }> {
  const begun = performance.now();
  const child = spawnServer(root, dieAt);
  const closed = once(child, "close");
  const facts = await readFacts(child, closed);
  for (const late = begun + READY_MS; !(await isReady(facts.url)); await sleep(POLL_MS))
    if (performance.now() > late) throw new Error(`not ready within ${READY_MS} ms`);
  const died = async (): Promise<void> => {
    await closed;
    if (child.signalCode !== "SIGKILL") throw new Error(`the server was not killed: it ended by itself`);
  };
  return {
    ...{ url: facts.url, adminToken: facts.admin_token, readyMs: performance.now() - begun },
    kill: async () => {
      child.kill("SIGKILL");
      await died();
    },
    died,
    stop: async () => {
      child.kill("SIGTERM");
      await closed;
      return child.exitCode;
    },
  };
}

/** A start that is cut off, wherever it has come to by then. */
export async function startAndKill(root: string, afterMs: number): Promise<void> {
  const child = spawnServer(root);
  const closed = once(child, "close");
  child.stdout?.resume();
  await sleep(afterMs);
  child.kill("SIGKILL");
  await closed;
}

function spawnServer(root: string, dieAt?: string): ChildProcess {
  const before = dieAt === undefined ? [] : ["--import", STEPPER];
  return spawn(process.execPath, [...before, CLI, "serve", "--port", "0", "--json"], {
    env: { ...process.env, PADDOCK_HOME: root, PADDOCK_TEST_DIE_AT: dieAt },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

interface Facts {
  readonly url: string;
  readonly admin_token: string | null;
}

/** Its log comes the same way and is read to the end. */
async function readFacts(child: ChildProcess, closed: Promise<unknown>): Promise<Facts> {
  const { promise, resolve, reject } = Promise.withResolvers<Facts>();
  if (child.stdout === null) throw new Error("no output");
  createInterface(child.stdout).on("line", (line) => {
    const found = JSON.parse(line) as Partial<Facts>;
    if (found.url !== undefined && "node_id" in found)
      resolve({ url: found.url, admin_token: found.admin_token ?? null });
  });
  void closed.then(() => reject(new Error(`the server ended before it listened: ${child.exitCode}`)));
  return await promise;
}

async function isReady(url: string): Promise<boolean> {
  const reply = await fetch(`${url}/ready`);
  await reply.arrayBuffer();
  return reply.status === 200;
}
