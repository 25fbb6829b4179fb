import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";

const PACKAGES = "/usr/lib/postgresql";
/** The package's own user: the server refuses to run as root. */
const USER = "postgres";
const READY = "database system is ready to accept connections";
const INITDB_MS = 60_000;

/** A cluster of one test file: in a temporary folder, on a unix socket in it, gone when it is disposed of. */
export class TestPostgres implements AsyncDisposable {
  readonly folder: string;
  #server: ChildProcess;

  private constructor(folder: string, server: ChildProcess) {
    this.folder = folder;
    this.#server = server;
  }

  static async start(): Promise<TestPostgres> {
    const folder = mkdtempSync(join(tmpdir(), "paddock-postgres-"));
    giveToPostgres(folder);
    const data = join(folder, "data");
    const making = ["-D", data, "-U", "paddock", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    const [program, before] = asPostgres("initdb");
    execFileSync(program, [...before, ...making], { stdio: "pipe", timeout: INITDB_MS });
    return new TestPostgres(folder, await startServer(folder, data));
  }

  makeUrl(database: string): string {
    return `postgres://paddock@${encodeURIComponent(this.folder)}/${database}`;
  }

  /** A new database; its URL. */
  async createDatabase(options = ""): Promise<string> {
    const name = `test_${randomBytes(6).toString("hex")}`;
    await this.run(this.makeUrl("postgres"), `create database ${name} ${options}`);
    return this.makeUrl(name);
  }

  /** A statement of the test's own. */
  async run(url: string, statement: string): Promise<readonly Record<string, unknown>[]> {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(statement)).rows;
    } finally {
      await client.end();
    }
  }

  async restart(): Promise<void> {
    await this.#stop();
    this.#server = await startServer(this.folder, join(this.folder, "data"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** At once: the next start recovers from the journal. */
  async #stop(): Promise<void> {
    if (this.#server.exitCode !== null || this.#server.signalCode !== null) return;
    const exited = once(this.#server, "exit");
    this.#server.kill("SIGQUIT");
    await exited;
  }
}

/** For `lacks()`: the server's programs are there and, for root, the user to run them as. */
export const hasPostgres = (): boolean =>
  findPrograms() !== undefined && (process.getuid?.() !== 0 || findUser() !== undefined);

export function giveToPostgres(path: string): void {
  const user = findUser();
  if (process.getuid?.() === 0 && user !== undefined) chownSync(path, user.uid, user.gid);
}

/** It ends with this process, and says on standard error that it is ready. */
async function startServer(folder: string, data: string): Promise<ChildProcess> {
  const [program, before] = asPostgres("postgres");
  const settings = ["fsync=off", "listen_addresses=", `unix_socket_directories=${folder}`, "lc_messages=C"];
  const server = spawn(program, [...before, "-D", data, ...settings.flatMap((setting) => ["-c", setting])], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  for await (const chunk of server.stderr.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
    log += chunk;
    if (log.includes(READY)) {
      server.stderr.resume();
      return server;
    }
  }
  throw new Error(`postgres did not start: ${log}`);
}

/** A program of the newest version, run by an unprivileged user and ended when this process ends. */
function asPostgres(name: string): readonly [string, readonly string[]] {
  const program = join(findPrograms() ?? "", name);
  const user = process.getuid?.() === 0 ? ["--reuid", USER, "--regid", USER, "--clear-groups"] : [];
  return ["setpriv", [...user, "--pdeathsig", "QUIT", program]];
}

function findPrograms(): string | undefined {
  if (!existsSync(PACKAGES)) return undefined;
  const versions = readdirSync(PACKAGES).sort((one, other) => Number(other) - Number(one));
  return versions.map((version) => join(PACKAGES, version, "bin")).find((bin) => existsSync(join(bin, "postgres")));
}

function findUser(): { readonly uid: number; readonly gid: number } | undefined {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((text) => text.startsWith(`${USER}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}
