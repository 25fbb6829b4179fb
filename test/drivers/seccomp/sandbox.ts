import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const NPM_FOLDER = resolve("node_modules/npm");
const HOST_PATHS = ["/etc/alternatives", "/etc/ld.so.cache", "/etc/hosts", "/lib64", "/lib"].filter((path) =>
  existsSync(path),
);

/** All namespaces and, so that the filter alone can be what refuses, every capability that a user namespace gives. */
const SANDBOX_ARGS = [
  ...["--unshare-all", "--die-with-parent", "--uid", "0", "--gid", "0", "--cap-add", "ALL"],
  ...["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin"],
  ...HOST_PATHS.flatMap((path) => ["--ro-bind", path, path]),
  ...["--ro-bind", dirname(process.execPath), "/opt/node", "--ro-bind", NPM_FOLDER, "/opt/npm"],
  ...["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/workspace", "--chdir", "/workspace"],
  ...["--clearenv", "--setenv", "HOME", "/workspace", "--setenv", "PATH", "/opt/node:/usr/bin:/bin"],
];

/** Runs a command in a plain bubblewrap sandbox, under the filter when one is given. */
export function runInSandbox(argv: readonly string[], filter?: Buffer): Run {
  const folder = mkdtempSync(join(tmpdir(), "paddock-seccomp-"));
  const path = join(folder, "filter");
  writeFileSync(path, filter ?? "");
  const descriptor = openSync(path, "r");
  try {
    const args = [...SANDBOX_ARGS, ...(filter === undefined ? [] : ["--seccomp", "3"]), "--", ...argv];
    const { status, stdout, stderr } = spawnSync("bwrap", args, {
      stdio: ["ignore", "pipe", "pipe", descriptor],
      encoding: "utf8",
      timeout: 50_000,
      killSignal: "SIGKILL",
    });
    return { status, stdout, stderr };
  } finally {
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  }
}

/** True where this machine lets us make sandboxes at all. */
export const canRunSandbox = existsSync("/usr/bin/bwrap") && runInSandbox(["/usr/bin/true"]).status === 0;

export const hasProgram = (argv: readonly string[]): boolean => canRunSandbox && runInSandbox(argv).status === 0;
