import { execFile, spawn } from "node:child_process";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { release } from "node:os";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import type { ProbeFinding } from "../driver.ts";
import type { Identity } from "../host/launch.ts";

const run = promisify(execFile);

/** The last uid of the pool: probes run under it, sandboxes hardly ever do. */
export const PROBE_IDENTITY: Identity = { uid: 265_535, gid: 265_535 };

const MIN_KERNEL: readonly [number, number] = [5, 14];
const MIN_PYTHON: readonly [number, number] = [3, 11];
/** First release without CVE-2026-87766. */
const FIXED_BUBBLEWRAP: readonly [number, number] = [0, 12];

const APPARMOR_HINT = `Allow bubblewrap to make user namespaces: write to /etc/apparmor.d/bwrap

abi <abi/4.0>,
include <tunables/global>
profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
  include if exists <local/bwrap>
}

then run: sudo systemctl reload apparmor`;

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ours = 0, oursMinor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return ours > major || (ours === major && oursMinor >= minor);
}

const describeError = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export function checkKernel(): ProbeFinding {
  const name = "kernel";
  const version = release();
  if (process.platform !== "linux") {
    return { name, status: "failed", detail: `this is ${process.platform}`, hint: "Run Paddock on Linux." };
  }
  if (isAtLeast(version, MIN_KERNEL)) return { name, status: "ok", detail: version };
  const hint = "cgroup.kill and limits per user namespace need Linux 5.14; use a newer kernel.";
  return { name, status: "warning", detail: version, hint };
}

export interface BubblewrapFacts {
  readonly version: string;
  readonly bindsByDescriptor: boolean;
}

const INSTALL_BUBBLEWRAP = "Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap).";

/** The version, and what this build of bubblewrap can do. */
export async function checkBubblewrap(path: string): Promise<{ finding: ProbeFinding; facts?: BubblewrapFacts }> {
  const name = "bubblewrap";
  try {
    const [version, help] = await Promise.all([run(path, ["--version"]), run(path, ["--help"])]);
    const number = /(\d+(?:\.\d+)+)/.exec(version.stdout)?.[1] ?? "unknown";
    const options = help.stdout + help.stderr;
    const missing = ["--disable-userns", "--args", "--size", "--perms", "--as-pid-1"].filter(
      (option) => !options.includes(option),
    );
    if (missing.length > 0) {
      const detail = `${path} ${number} lacks ${missing.join(", ")}`;
      return { finding: { name, status: "failed", detail, hint: "Install bubblewrap 0.8.0 or newer." } };
    }
    const facts = { version: number, bindsByDescriptor: options.includes("--bind-fd") };
    if (isAtLeast(number, FIXED_BUBBLEWRAP)) {
      return { finding: { name, status: "ok", detail: `${path} ${number}` }, facts };
    }
    const detail = `${path} ${number} has CVE-2026-87766; Paddock mounts the workspace last and names nothing below it, which avoids it`;
    return { finding: { name, status: "warning", detail, hint: "Install bubblewrap 0.12.0 or newer." }, facts };
  } catch (error) {
    return { finding: { name, status: "failed", detail: describeError(error), hint: INSTALL_BUBBLEWRAP } };
  }
}

export async function checkPython(path: string): Promise<ProbeFinding> {
  const name = "python";
  const hint = "Install Python 3.11 or newer as /usr/bin/python3: the launcher and the supervisor are written in it.";
  if (!path.startsWith("/usr/") || path.startsWith("/usr/local/")) {
    return { name, status: "failed", detail: `${path} is not in the part of /usr that sandboxes see`, hint };
  }
  try {
    const program = "import sys; print('.'.join(map(str, sys.version_info[:3])))";
    const { stdout } = await run(path, ["-I", "-S", "-c", program], { env: {} });
    const version = stdout.trim();
    const status = isAtLeast(version, MIN_PYTHON) ? "ok" : "failed";
    return { name, status, detail: `${path} ${version}`, ...(status === "ok" ? {} : { hint }) };
  } catch (error) {
    return { name, status: "failed", detail: describeError(error), hint };
  }
}

/**
 * Root runs programs and mounts images from the data folder, so nobody else may own or write it. Sandboxes resolve
 * paths as their own uid, so one folder without `x` for others on the way hides everything below it.
 */
export async function checkDataFolder(root: string, isRoot: boolean): Promise<ProbeFinding> {
  const name = "data folder";
  if (!isRoot) return { name, status: "ok", detail: `${root}; sandboxes run under our own uid` };
  const { uid, mode } = await stat(root);
  if (uid !== 0 || (mode & 0o022) !== 0) {
    const hint = `chown root ${root} && chmod go-w ${root}, or set PADDOCK_HOME to another folder.`;
    return { name, status: "failed", detail: `${root} can be changed by others than root`, hint };
  }
  const closed = await findClosedFolder(root);
  if (closed === undefined) return { name, status: "ok", detail: `${root} can be passed by sandboxes` };
  const hint = `chmod o+x ${closed}, or set PADDOCK_HOME to another folder.`;
  return { name, status: "failed", detail: `${closed} cannot be passed by the uids of sandboxes`, hint };
}

async function findClosedFolder(path: string): Promise<string | undefined> {
  const { mode } = await stat(path);
  if ((mode & 0o001) === 0) return path;
  return path === dirname(path) ? undefined : findClosedFolder(dirname(path));
}

interface TrialResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

/**
 * Runs a small sandbox with the filter, as a sandbox's uid, and returns what the kernel says about the process in it.
 */
async function tryBubblewrap(path: string, filter: Buffer, identity: Identity | null): Promise<TrialResult> {
  const namespaces = ["--unshare-user", "--unshare-all", "--disable-userns", "--cap-drop", "ALL", "--die-with-parent"];
  const mounts = ["--ro-bind", "/", "/", "--proc", "/proc", "--clearenv", "--seccomp", "3"];
  const child = spawn(path, [...namespaces, ...mounts, "--", "/usr/bin/cat", "/proc/self/status"], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: {},
    cwd: "/",
    ...identity,
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("close", resolve);
  const input = child.stdio[3];
  input?.on("error", () => undefined);
  if (input !== null && input !== undefined && "end" in input) input.end(filter);
  const read = async (stream: Readable | null): Promise<string> => (stream === null ? "" : text(stream));
  const [code, stdout, stderr] = await Promise.all([promise, read(child.stdout), read(child.stderr)]);
  return { code, stdout, stderr };
}

async function readFlag(path: string): Promise<string> {
  return readFile(path, "utf8").then(
    (content) => content.trim(),
    () => "",
  );
}

async function hintForNamespaces(): Promise<string> {
  if ((await readFlag("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")) === "1") return APPARMOR_HINT;
  if ((await readFlag("/proc/sys/kernel/unprivileged_userns_clone")) === "0") {
    return "sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if ((await readFlag("/proc/sys/user/max_user_namespaces")) === "0") return "sysctl -w user.max_user_namespaces=15000";
  return "Inside a container, allow user namespaces and mounts (Docker: a custom seccomp profile, no AppArmor confinement).";
}

/** User namespaces and the filter, proven by using both. */
export async function checkSandboxing(path: string, filter: Buffer, isRoot: boolean): Promise<ProbeFinding[]> {
  const namespaces = "user namespaces";
  try {
    const { code, stdout, stderr } = await tryBubblewrap(path, filter, isRoot ? PROBE_IDENTITY : null);
    if (code !== 0 && /seccomp|SECCOMP/.test(stderr)) {
      const hint = "The kernel refused the filter; it needs CONFIG_SECCOMP_FILTER.";
      return [{ name: "seccomp", status: "failed", detail: stderr.trim(), hint }];
    }
    if (code !== 0) {
      return [{ name: namespaces, status: "failed", detail: stderr.trim(), hint: await hintForNamespaces() }];
    }
    const has = (field: string, value: string): boolean => new RegExp(`^${field}:\\s*${value}$`, "m").test(stdout);
    const isConfined = has("CapEff", "0+") && has("CapBnd", "0+") && has("NoNewPrivs", "1");
    const isFiltered = has("Seccomp", "2");
    return [
      isConfined
        ? { name: namespaces, status: "ok", detail: "made, entered, and closed to further ones" }
        : { name: namespaces, status: "failed", detail: "a process inside kept privileges", hint: INSTALL_BUBBLEWRAP },
      isFiltered
        ? { name: "seccomp", status: "ok", detail: "the filter loads and is active" }
        : { name: "seccomp", status: "failed", detail: "no filter was active inside", hint: INSTALL_BUBBLEWRAP },
    ];
  } catch (error) {
    return [{ name: namespaces, status: "failed", detail: describeError(error), hint: INSTALL_BUBBLEWRAP }];
  }
}

const CLOSE_ON_EXEC = 0o2000000;

/**
 * Descriptors that this process inherited would reach whatever it starts. The launcher closes them; other programs
 * might not.
 */
export async function checkDescriptors(): Promise<ProbeFinding> {
  const name = "descriptors";
  const open: string[] = [];
  for (const entry of await readdir("/proc/self/fdinfo")) {
    const information = await readFile(`/proc/self/fdinfo/${entry}`, "utf8").catch(() => "");
    const flags = /^flags:\s*(\d+)/m.exec(information)?.[1];
    if (flags === undefined || Number(entry) <= 2 || (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) !== 0) continue;
    open.push(await readlink(`/proc/self/fd/${entry}`).catch(() => entry));
  }
  if (open.length === 0) return { name, status: "ok", detail: "nothing is inherited but standard input and output" };
  const detail = `inherited: ${open.join(", ")}; the launcher closes them before anything is started`;
  return { name, status: "ok", detail };
}
