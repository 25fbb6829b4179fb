import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { z } from "zod";

/** The server as a process of its own, so that its memory and processor time are its own, too. */
export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  /** Resident memory of the server process in MiB, without its sandboxes. */
  readRssMib(): number;
}

const Started = z.object({ url: z.string(), admin_token: z.string() });

/**
 * Starts `paddock serve` over a data folder and resolves when it listens.
 *
 * @param profileFolder where the processor profile goes at the end; undefined: none is made
 */
export async function startService(home: string, profileFolder: string | undefined): Promise<Service> {
  const profile = profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
  const program = new URL("../../src/cli/main.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [...profile, program, "serve", "--port", "0", "--json", "--new-admin-token"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, PADDOCK_HOME: home },
  });
  const exited = once(child, "exit");
  const { promise, resolve } = Promise.withResolvers<z.infer<typeof Started>>();
  // Read to the end: the log comes the same way.
  createInterface(child.stdout).on("line", (line) => {
    const started = Started.safeParse(JSON.parse(line));
    if (started.success) resolve(started.data);
  });
  const { url, admin_token: token } = await Promise.race([promise, exited.then(failStart)]);
  return {
    url,
    token,
    readRssMib: () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

function failStart(): never {
  throw new Error("the server ended before it listened; its message stands above");
}
