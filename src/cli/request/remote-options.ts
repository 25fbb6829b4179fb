import { text } from "node:stream/consumers";
import type { Command } from "commander";
import { PaddockError } from "../../errors/error.ts";
import type { RemoteOptions } from "../../index.ts";
import { parseDuration } from "../render/units.ts";

export interface RemoteFlags {
  readonly remote?: string;
  readonly token?: string;
  readonly operator?: string;
  readonly setupTimeout?: string;
}

/** What needs a sandbox on this machine. */
const LOCAL_ONLY = ["keep", "workspace", "upload", "driver", "runtime"] as const;

export function addRemoteOptions(command: Command): Command {
  return command
    .option("--remote <url>", "run on this Ractor server instead")
    .option("--token <token>", "its bearer token (better: RACTOR_TOKEN, which no process list shows)")
    .option("--operator <name>", "log in as this operator; password from RACTOR_PASSWORD, else from standard input")
    .option("--setup-timeout <duration>", "for the setup code on the remote server (default 15m)");
}

/**
 * Undefined without `--remote`. Throws `invalid_request` and, for options that a remote server has nothing for,
 * `unsupported`.
 */
export async function readRemote(
  flags: RemoteFlags & Readonly<Partial<Record<(typeof LOCAL_ONLY)[number], unknown>>>,
  source: string | undefined,
  stdin: NodeJS.ReadStream,
): Promise<RemoteOptions | undefined> {
  if (flags.remote === undefined) {
    const stray = (["token", "operator", "setupTimeout"] as const).find((name) => flags[name] !== undefined);
    if (stray === undefined) return undefined;
    throw new PaddockError("invalid_request", `--${stray === "setupTimeout" ? "setup-timeout" : stray} needs --remote`);
  }
  const local = LOCAL_ONLY.find((name) => flags[name] !== undefined);
  if (local !== undefined)
    throw new PaddockError("unsupported", `--${local} does not go with --remote`, {
      hint: "The agent of a remote task is deleted at its end; leave the option out, or run locally.",
    });
  const { setupTimeout } = flags;
  const setup = setupTimeout === undefined ? {} : { setupTimeoutMs: parseDuration(setupTimeout, "--setup-timeout") };
  return { url: flags.remote, ...setup, ...(await readCredentials(flags, source, stdin)) };
}

async function readCredentials(
  flags: RemoteFlags,
  source: string | undefined,
  stdin: NodeJS.ReadStream,
): Promise<Pick<RemoteOptions, "token" | "operator">> {
  const token = flags.token ?? process.env["RACTOR_TOKEN"];
  if (flags.operator === undefined) return token === undefined || token === "" ? {} : { token };
  if (flags.token !== undefined) throw new PaddockError("invalid_request", "both --token and --operator are given");
  return { operator: { name: flags.operator, password: await readPassword(flags, source, stdin) } };
}

async function readPassword(
  { operator }: RemoteFlags,
  source: string | undefined,
  stdin: NodeJS.ReadStream,
): Promise<string> {
  const given = process.env["RACTOR_PASSWORD"];
  if (given !== undefined && given !== "") return given;
  const taken = source === undefined || source === "-";
  const password = taken || stdin.isTTY ? "" : (await text(stdin)).replace(/\r?\n$/, "");
  if (password !== "") return password;
  throw new PaddockError("invalid_request", `no password for operator ${operator}`, {
    hint: "Set RACTOR_PASSWORD, or pipe the password in when the task comes from a file, a description or -c.",
  });
}
