import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable, type Writable } from "node:stream";
import { promisify } from "node:util";
import type { ImageEngine } from "../../drivers/driver.ts";
import { PaddockError } from "../../errors/error.ts";
import { makeOpenFolder } from "../../lib/open-folder.ts";
import { removeFolder } from "../../lib/remove-folder.ts";

const run = promisify(execFile);

/** Part of the bootstrap's identity: raise it when the same packages are to be installed in another way. */
export const BOOTSTRAP_VERSION = 1;

const TARGETS = "$(CREATED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)";
const ORIGINS = ["Debian", "Ubuntu"];
const NO_DOCS = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"];
/** Settings of the host's apt that its sources may need; none of them stays in the image. */
const APT_SETTINGS = /^Acquire::(?:https?::(?:Proxy|CAInfo)|Check-(?:Valid-Until|Date)) "[^"]*";$/;
const LAST_LINES = 15;

/** The distribution of this host, as apt knows it. */
export interface HostDistribution {
  readonly suite: string;
  /** One line per source, as apt's sources.list has them. */
  readonly sources: readonly string[];
  /** The same distribution's public sources, for the image. */
  readonly publicSources: readonly string[];
}

export interface BootstrapRequest {
  readonly distribution: HostDistribution;
  readonly packages: readonly string[];
  /** Folder of our own for the tree while it is made. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/**
 * What apt on this host installs from. Throws `image_failed` where the host is not Debian or Ubuntu, or mmdebstrap is
 * missing.
 */
export async function readHostDistribution(): Promise<HostDistribution> {
  const suite = /^VERSION_CODENAME=([a-z]+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  const targets = await run("apt-get", ["indextargets", "--format", TARGETS]).catch(refuse);
  await run("mmdebstrap", ["--version"]).catch(refuse);
  if (suite === undefined) throw refuse(new Error("/etc/os-release names no suite"));
  const sources = targets.stdout.split("\n").flatMap((line) => {
    const [kind, uri, release, component, origin] = line.split("|");
    const known = ORIGINS.includes(origin ?? "") || (!/\w/.test(origin ?? "") && release?.startsWith(suite));
    return kind === "Packages" && known ? [`deb ${uri} ${release} ${component}`] : [];
  });
  if (sources.length === 0) throw refuse(new Error("apt lists no source of Debian or Ubuntu; run apt-get update"));
  return { suite, sources: [...new Set(sources)].toSorted(), publicSources: listPublicSources(suite) };
}

function refuse(cause: unknown): never {
  const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
  throw new PaddockError("image_failed", `no base can be made from this host's packages: ${reason}`, {
    cause,
    hint: "--bootstrap needs Debian or Ubuntu with apt and mmdebstrap: apt-get update && apt-get install mmdebstrap",
  });
}

function listPublicSources(suite: string): string[] {
  const isUbuntu = /^ID=ubuntu$/m.test(readFileSync("/etc/os-release", "utf8"));
  if (!isUbuntu) {
    const debian = "http://deb.debian.org/debian";
    return [
      `deb ${debian} ${suite} main`,
      `deb ${debian} ${suite}-updates main`,
      `deb ${debian}-security ${suite}-security main`,
    ];
  }
  const ubuntu = process.arch === "x64" ? "http://archive.ubuntu.com/ubuntu" : "http://ports.ubuntu.com/ubuntu-ports";
  return ["", "-updates", "-security"].map((pocket) => `deb ${ubuntu} ${suite}${pocket} main universe`);
}

/**
 * Makes a root file system from Debian packages and imports it. Returns the image's id. Throws `image_failed` with
 * mmdebstrap's last lines.
 */
export async function bootstrapImage(engine: ImageEngine, request: BootstrapRequest): Promise<string> {
  await removeFolder(request.folder);
  makeOpenFolder(request.folder);
  const stop = new AbortController();
  const child = await startMmdebstrap(request);
  const ended = once(child, "close").then(([code]) => code as number | null);
  const log = followLog(child.stderr, request.onProgress);
  const tar = Readable.from(readWhole(child.stdout, ended), { objectMode: false });
  tar.once("error", (error) => stop.abort(error));
  const reference = `paddock/bootstrap:${request.distribution.suite}`;
  try {
    return await engine.importRoot(tar, reference, AbortSignal.any([request.signal, stop.signal]));
  } catch (cause) {
    request.signal.throwIfAborted();
    if (!stop.signal.aborted) throw cause;
    throw new PaddockError("image_failed", `no base could be made from packages:\n${(await log).join("\n")}`, {
      cause,
    });
  } finally {
    child.kill("SIGKILL");
    await ended.catch(() => undefined);
    await removeFolder(request.folder);
  }
}

/**
 * Killed with this process and whatever it started and mounted: as root in a mount and a pid namespace of its own,
 * otherwise in those that mmdebstrap makes.
 */
async function startMmdebstrap(request: BootstrapRequest): Promise<ChildProcessByStdio<Writable, Readable, Readable>> {
  const fence =
    process.getuid?.() === 0 ? ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] : [];
  const command = ["--pdeathsig", "KILL", "--", ...fence, "mmdebstrap", ...(await listArguments(request))];
  const child = spawn("setpriv", command, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/", LC_ALL: "C.UTF-8", TMPDIR: request.folder },
    signal: request.signal,
    killSignal: "SIGKILL",
  });
  child.on("error", () => undefined);
  child.stdin.on("error", () => undefined).end(`${request.distribution.sources.join("\n")}\n`);
  return child;
}

async function listArguments({ distribution, packages }: BootstrapRequest): Promise<string[]> {
  const settings = (await run("apt-config", ["dump"])).stdout.split("\n").filter((line) => APT_SETTINGS.test(line));
  return [
    "--variant=minbase",
    "--format=tar",
    `--include=${packages.join(",")}`,
    ...NO_DOCS.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...settings.map((line) => `--aptopt=${line}`),
    ...neutralise(distribution).map((script) => `--customize-hook=${script}`),
    distribution.suite,
    "-",
    "-",
  ];
}

/** Removes what tells of this host: its mirrors, its apt settings, its name and its resolver. */
function neutralise({ publicSources }: HostDistribution): string[] {
  const sources = publicSources.map((line) => `'${line}'`).join(" ");
  return [
    'rm -rf "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/auth.conf*',
    `printf '%s\\n' ${sources} >"$1/etc/apt/sources.list"`,
    'rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/hosts; : >"$1/etc/resolv.conf"',
    'rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/*',
    ': >"$1/etc/machine-id"',
  ];
}

/** The tar, broken off instead of ended when its maker failed: half a system must not become an image. */
async function* readWhole(stdout: Readable, ended: Promise<number | null>): AsyncGenerator<Buffer> {
  yield* stdout as AsyncIterable<Buffer>;
  const code = await ended;
  if (code !== 0) throw new Error(`mmdebstrap ended with ${code}`);
}

async function followLog(stderr: Readable, onProgress: (line: string) => void): Promise<readonly string[]> {
  const last: string[] = [];
  for await (const line of createInterface({ input: stderr })) {
    if (line.startsWith("I: ") && !line.includes("--customize-hook")) onProgress(line.slice(3));
    last.push(line);
    if (last.length > LAST_LINES) last.shift();
  }
  return last;
}
