import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { z } from "zod";
import { RactorClient } from "../client/ractor/ractor-client.ts";
import { PaddockError } from "../errors/error.ts";
import { Deadline } from "../lib/deadline.ts";
import { tryJson } from "../lib/json.ts";

/** What `paddock serve --json` says on standard output between its log lines. */
const StartLine = z.looseObject({
  url: z.url({ protocol: /^http$/ }),
  admin_token: z.string().min(1),
  admin_token_id: z.string().min(1),
});
const ErrorLine = z.looseObject({ error: z.looseObject({ message: z.string(), hint: z.string() }) });

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
 * Starts `paddock serve` on a free port of loopback with this process's settings, in a process group of its own: Ctrl-C
 * reaches us alone, so that agents can be deleted before it stops. Its admin token is revoked at the end. It outlives
 * only a kill -9 of this process. Throws `create_failed` with what it said.
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
    const { url, admin_token: token, admin_token_id: tokenId } = await readStart(child, said, signal);
    const leave = async (): Promise<void> => {
      await revoke(url, token, tokenId);
      await stop();
    };
    return { url, token, [Symbol.asyncDispose]: leave };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A server that is gone already takes nothing back; its token is of no use then. Never throws. */
async function revoke(url: string, token: string, tokenId: string): Promise<void> {
  await using client = new RactorClient({ url, token });
  using deadline = Deadline.after(client.times.cleanupMs);
  await client.revokeToken(tokenId, deadline.signal).catch(() => undefined);
}

async function readStart(
  child: ChildProcess,
  said: () => string,
  signal: AbortSignal,
): Promise<z.infer<typeof StartLine>> {
  const { stdout } = child;
  if (stdout === null) throw new PaddockError("internal", "the server has no standard output");
  using deadline = Deadline.after(START_MS, signal);
  const closed = once(child, "close").then(() => undefined);
  const left = once(deadline.signal, "abort").then(() => undefined);
  const answer = await Promise.race([findLine(stdout), closed, left]);
  signal.throwIfAborted();
  // Nobody reads its log: what it says from now on must not fill the pipe.
  stdout.resume();
  if (answer?.start !== undefined) return answer.start;
  const why = answer?.error?.message ?? said();
  throw new PaddockError("create_failed", `paddock serve did not start${why === "" ? "" : `: ${why}`}`, {
    hint: [answer?.error?.hint, "A server that runs already is measured with --url."].filter(Boolean).join(" "),
  });
}

/** One of the two. */
interface Answer {
  readonly start?: z.infer<typeof StartLine>;
  readonly error?: z.infer<typeof ErrorLine>["error"];
}

async function findLine(stdout: Readable): Promise<Answer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
  const lines = createInterface({ input: stdout });
  lines.on("line", (line) => {
    const value = tryJson(line);
    const start = StartLine.safeParse(value).data;
    const error = ErrorLine.safeParse(value).data?.error;
    if (start !== undefined) resolve({ start });
    else if (error !== undefined) resolve({ error });
    else return;
    lines.close();
  });
  lines.once("close", () => resolve(undefined));
  return await promise;
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
