import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { z } from "zod";
import { PaddockError } from "../errors/error.ts";
import { Deadline } from "../lib/deadline.ts";
import { tryJson } from "../lib/json.ts";

/** What `paddock serve --json` says on its first line. */
const StartLine = z.looseObject({ url: z.url({ protocol: /^http$/ }), admin_token: z.string().min(1) });

const START_MS = 10 * 60_000;
/** Over the server's own grace period. */
const STOP_MS = 60_000;
const MAX_SAID = 4096;

export interface OwnServer extends AsyncDisposable {
  readonly url: string;
  /** Of an admin; stands in no message. */
  readonly token: string;
}

/**
 * Starts `paddock serve` on a free port of loopback with this process's settings, in a process group of its own: Ctrl-C reaches us
 * alone, so that agents can be deleted before it stops. Throws `create_failed` with the last it said.
 */
export async function startOwnServer(entry: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<OwnServer> {
  const args = [entry, "serve", "--host", "127.0.0.1", "--port", "0", "--json", "--new-admin-token"];
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", "pipe", "pipe"], env });
  const said = collect(child);
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const stop = async (): Promise<void> => {
    await end(child);
    process.off("exit", kill);
  };
  try {
    const { url, admin_token: token } = await readStart(child, said, signal);
    return { url, token, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function readStart(
  child: ChildProcess,
  said: () => string,
  signal: AbortSignal,
): Promise<z.infer<typeof StartLine>> {
  const { stdout } = child;
  if (stdout === null) throw new PaddockError("internal", "the server has no standard output");
  using deadline = Deadline.after(START_MS, signal);
  const lines = createInterface({ input: stdout });
  const closed = once(child, "close").then(() => undefined);
  const leave = once(deadline.signal, "abort").then(() => undefined);
  const line = await Promise.race([once(lines, "line") as Promise<string[]>, closed, leave]);
  signal.throwIfAborted();
  const parsed = StartLine.safeParse(tryJson(line?.[0] ?? ""));
  // Nobody reads on: what it says later must not fill the pipe.
  stdout.resume();
  if (parsed.success) return parsed.data;
  throw new PaddockError("create_failed", `paddock serve did not start${said() === "" ? "" : `: ${said()}`}`, {
    hint: "Start it yourself and name it with --url, or stop the one that uses this data folder.",
  });
}

/** The last that the server wrote to its standard error. */
function collect(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-MAX_SAID);
  });
  return () => text.trim();
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  using deadline = Deadline.after(STOP_MS);
  deadline.signal.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
  await exited;
}
