import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, type Readable, type Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { isHeldUp } from "../../src/lib/process-identity.ts";
import { makeSandboxId } from "../../src/model/ids.ts";
import { Channel } from "../../src/sandbox/channel/channel.ts";
import type { Tunnel } from "../../src/sandbox/channel/tunnel.ts";
import type { SandboxEnd, SandboxHost } from "../../src/sandbox/host.ts";
import { Sandbox, type SandboxSettings } from "../../src/sandbox/sandbox.ts";
import { SUPERVISOR_TIMES, type SupervisorTimes } from "../../src/sandbox/times.ts";

export type Transport = "socket" | "stdio";
export const TRANSPORTS: readonly Transport[] = ["socket", "stdio"];

const SOURCE = fileURLToPath(new URL("../../images/supervisor", import.meta.url));
const GUEST_UID = 64_124;
const IS_ROOT = process.getuid?.() === 0;

export const SETTINGS: SandboxSettings = {
  hostname: "box",
  workspacePath: "/workspace",
  env: { LANG: "C.UTF-8" },
  python: { argv: ["/usr/bin/python3"], preload: [], warm: false },
  javascript: null,
  spillBytes: 64 * 1024 * 1024,
};

/** A folder with a copy of the supervisor, a workspace and a place for the socket. */
export function makeBox(): { readonly folder: string; readonly socketDir: string; readonly key: string } {
  const folder = mkdtempSync(join(tmpdir(), "paddock-supervised-"));
  chmodSync(folder, 0o711);
  for (const name of ["run", "workspace"]) {
    mkdirSync(join(folder, name));
    if (IS_ROOT) chownSync(join(folder, name), GUEST_UID, GUEST_UID);
  }
  cpSync(SOURCE, join(folder, "supervisor"), { recursive: true });
  execFileSync("/usr/bin/python3", ["-m", "compileall", "-q", join(folder, "supervisor")]);
  return { folder, socketDir: join(folder, "run"), key: randomBytes(16).toString("hex") };
}

/** The supervisor as pid 1 under bubblewrap. In the socket's way it outlives whoever started it. */
export function startSupervisor(box: ReturnType<typeof makeBox>, transport: Transport): ChildProcess {
  const { folder, socketDir, key } = box;
  const socket = join(socketDir, "host.sock");
  if (IS_ROOT && existsSync(socket)) chownSync(socket, GUEST_UID, GUEST_UID);
  const child = spawn("bwrap", listArguments(folder, socketDir, transport === "stdio"), {
    stdio: ["pipe", transport === "stdio" ? "pipe" : "ignore", "inherit"],
    detached: true,
    ...(IS_ROOT ? { uid: GUEST_UID, gid: GUEST_UID } : {}),
  });
  const way = transport === "stdio" ? { channel: "stdio" } : { socket: "/run/paddock/host.sock" };
  child.stdin?.write(`${JSON.stringify({ key, ...way })}\n`);
  if (transport === "socket") child.stdin?.end();
  return child;
}

function listArguments(folder: string, socketDir: string, dies: boolean): string[] {
  return [
    ["--unshare-user", "--unshare-all", "--as-pid-1", "--new-session", ...(dies ? ["--die-with-parent"] : [])],
    ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--clearenv"],
    ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
    ["--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"],
    ["--ro-bind", join(folder, "supervisor"), "/opt/paddock/supervisor", "--ro-bind", socketDir, "/run/paddock"],
    ["--bind", join(folder, "workspace"), "/workspace", "--chdir", "/workspace"],
    ["/usr/bin/python3", "-I", "-S", "-B", "/opt/paddock/supervisor/__main__.py"],
  ].flat();
}

/** What a driver would hold of the supervisor; pausing is SIGSTOP to everything in it. */
export class ProcessHost implements SandboxHost {
  readonly isolation = {
    driver: "test",
    runtime: "bwrap",
    version: "test",
    kernel: "test",
    seccomp: "none",
    distinct_uid: IS_ROOT,
    limits: { mode: "rlimit", workspace: "polled" },
  } as const;
  readonly ended: Promise<SandboxEnd>;
  readonly stdio?: Duplex;
  /** What the machine is said to do to the supervisor, besides what it does. */
  heldUp = false;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = once(child, "exit").then(() => ({ kind: "exited", detail: "its process ended" }));
    if (child.stdout) this.stdio = joinPipes(child.stdout, child.stdin as Writable);
  }

  usage(): Record<string, never> {
    return {};
  }

  resetPeak(): boolean {
    return false;
  }

  isHeldUp(): boolean {
    return this.heldUp || this.listProcesses().slice(0, 1).some(isHeldUp);
  }

  async pause(): Promise<void> {
    for (const pid of this.listProcesses()) process.kill(pid, "SIGSTOP");
  }

  async resume(): Promise<void> {
    for (const pid of this.listProcesses()) process.kill(pid, "SIGCONT");
  }

  /** Pids on the host of the supervisor and what it started. */
  listProcesses(): number[] {
    const found: number[] = [];
    const walk = (pid: number): void => {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
      for (const child of children.split(" ").filter((text) => text !== "")) {
        found.push(Number(child));
        walk(Number(child));
      }
    };
    walk(this.#child.pid as number);
    return found;
  }

  async kill(): Promise<void> {
    // bubblewrap ends with its pid 1
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const [first] = this.listProcesses();
      process.kill(first ?? (this.#child.pid as number), "SIGKILL");
    }
    await this.ended;
  }

  async destroy(): Promise<void> {
    await this.kill();
  }
}

function joinPipes(readable: Readable, writable: Writable): Duplex {
  writable.on("error", () => undefined);
  return Duplex.from({ readable, writable });
}

export interface Supervised extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly host: ProcessHost;
  readonly channel: Channel;
  readonly relays: { readonly tunnel: Tunnel; readonly callId: string }[];
  readonly breaches: Error[];
}

/** A sandbox handle over a real supervisor, by either way. */
export async function openSupervised(transport: Transport, times: Partial<SupervisorTimes> = {}): Promise<Supervised> {
  const box = makeBox();
  const relays: Supervised["relays"] = [];
  const breaches: Error[] = [];
  const events = {
    relay: (tunnel: Tunnel, callId: string) => {
      tunnel.on("error", () => undefined);
      relays.push({ tunnel, callId });
    },
    breach: (error: Error) => void breaches.push(error),
  };
  const listening = transport === "socket" ? await Channel.listen(box.socketDir, box.key, events) : undefined;
  const host = new ProcessHost(startSupervisor(box, transport));
  const channel = listening ?? Channel.over(host.stdio as Duplex, box.key, events);
  const afterClose = (): void => rmSync(box.folder, { recursive: true, force: true });
  const parts = { id: makeSandboxId(), channel, host, afterClose, times: { ...SUPERVISOR_TIMES, ...times } };
  const sandbox = await Sandbox.open(parts, SETTINGS, AbortSignal.timeout(20_000));
  return { sandbox, host, channel, relays, breaches, [Symbol.asyncDispose]: () => sandbox.close() };
}
