import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Home, resolveHome } from "../../../src/config/home.ts";
import { BubblewrapDriver } from "../../../src/drivers/bubblewrap/driver.ts";
import type { BubblewrapOptions } from "../../../src/drivers/bubblewrap/options.ts";
import type { DriverSandbox, SandboxSpec } from "../../../src/drivers/driver.ts";
import { makeSandboxId } from "../../../src/model/ids.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { oweNothing } from "../../conformance/driver/owe-nothing.ts";
import { listNames, readText } from "../../conformance/driver/scan.ts";

export const isRoot = process.getuid?.() === 0;
export const AGENT = fileURLToPath(new URL("./agent", import.meta.url));

/** A data folder that sandboxes' uids can pass. */
export function makeHome(): Home {
  const root = mkdtempSync(join(tmpdir(), "paddock-test-"));
  chmodSync(root, 0o711);
  return resolveHome({ PADDOCK_HOME: join(root, "home") }, 0);
}

export function removeHome(home: Home): void {
  rmSync(join(home.root, ".."), { recursive: true, force: true });
}

export type SpecChanges = Partial<Omit<SandboxSpec, "limits">> & { readonly limits?: Partial<Limits> };

export interface Listening {
  readonly server: Server;
  readonly socketDir: string;
  readonly connected: Promise<Socket>;
}

/** A listening socket in a run folder of its own, as the fleet prepares it. */
export async function listen(home: Home, id: string): Promise<Listening> {
  const socketDir = join(home.run, id, "socket");
  mkdirSync(socketDir, { recursive: true });
  const { promise: connected, resolve } = Promise.withResolvers<Socket>();
  const server = createServer(resolve);
  server.listen(join(socketDir, "host.sock"));
  await once(server, "listening");
  return { server, socketDir, connected };
}

export function makeSpec(socketDir: string, changes: SpecChanges = {}): SandboxSpec {
  const { limits, ...rest } = changes;
  return {
    id: makeSandboxId(),
    workspacePath: "/workspace",
    workspace: { kind: "new" },
    mounts: [],
    socketDir,
    key: randomBytes(16).toString("hex"),
    ...rest,
    limits: { ...DEFAULT_LIMITS, ...limits },
  };
}

/** A sandbox whose pid 1 runs the Python it is sent. */
export interface Guest extends AsyncDisposable {
  readonly spec: SandboxSpec;
  readonly sandbox: DriverSandbox;
  /** Runs code inside and returns its variable `result`. */
  readonly run: <T = unknown>(code: string) => Promise<T>;
  /** Sends code whose end nobody waits for. */
  readonly send: (code: string) => void;
}

async function talk(
  connected: Promise<Socket>,
  sandbox: DriverSandbox,
): Promise<Pick<Guest, "run" | "send"> & { readonly close: () => void }> {
  const gone = sandbox.ended.then(({ detail }) => Promise.reject(new Error(`the sandbox ended: ${detail}`)));
  gone.catch(() => undefined);
  const socket = await Promise.race([connected, gone]);
  socket.on("error", () => undefined);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const send = (code: string): void => void socket.write(`${JSON.stringify({ code })}\n`);
  const run = async <T>(code: string): Promise<T> => {
    send(code);
    const line = await Promise.race([lines.next(), gone]);
    if (line.done) throw new Error("the sandbox hung up");
    const answer = JSON.parse(line.value) as { result?: T; error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer.result as T;
  };
  return { run, send, close: () => socket.destroy() };
}

export interface Harness extends AsyncDisposable {
  readonly home: Home;
  readonly driver: BubblewrapDriver;
  open(changes?: SpecChanges): Promise<Guest>;
  /** Groups of sandboxes that this harness has opened and that are still there. */
  listOwnGroups(): string[];
}

export function openHarness(options: Partial<BubblewrapOptions> = {}): Harness {
  const home = options.home ?? makeHome();
  const driver = new BubblewrapDriver({ home, supervisor: AGENT, nodeTools: null, ...options });
  const ids: string[] = [];
  return {
    home,
    driver,
    listOwnGroups: () => listGroups("sbx_").filter((path) => ids.some((id) => path.endsWith(id))),
    async open(changes = {}) {
      const id = changes.id ?? makeSandboxId();
      ids.push(id);
      const { server, socketDir, connected } = await listen(home, id);
      const spec = makeSpec(socketDir, { ...changes, id });
      const close = (): void => {
        server.close();
        rmSync(join(home.run, id), { recursive: true, force: true });
      };
      try {
        const sandbox = await driver.create(spec, AbortSignal.timeout(20_000), oweNothing);
        const { run, send, close: hangUp } = await talk(connected, sandbox);
        return {
          spec,
          sandbox,
          run,
          send,
          async [Symbol.asyncDispose]() {
            hangUp();
            await sandbox.destroy();
            close();
          },
        };
      } catch (error) {
        close();
        throw error;
      }
    },
    async [Symbol.asyncDispose]() {
      await driver[Symbol.asyncDispose]();
      if (options.home === undefined) removeHome(home);
    },
  };
}

/** Host pids of the processes in a sandbox's cgroup. */
export function listMembers(id: string): number[] {
  const lines = listGroups(id).flatMap((folder) => readText(join(folder, "cgroup.procs")).split("\n"));
  return [...new Set(lines.filter((line) => line !== "").map(Number))];
}

/** Cgroup folders whose name begins so, wherever they are. Those of other suites come and go meanwhile. */
export function listGroups(prefix: string): string[] {
  const found: string[] = [];
  const walk = (folder: string): void => {
    for (const path of listNames(folder).map((name) => join(folder, name))) {
      if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) continue;
      if (basename(path).startsWith(prefix)) found.push(path);
      else walk(path);
    }
  };
  walk("/sys/fs/cgroup");
  return found;
}

/** Everything of a data folder that could be left on the host. */
export function listLeftovers(home: Home): Record<string, readonly string[]> {
  const names = (folder: string): string[] => readdirSync(folder).filter((name) => !name.startsWith(".blank-"));
  const loops = readdirSync("/sys/block").flatMap((name) => {
    try {
      const file = readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8");
      return file.startsWith(home.root) ? [file.trim()] : [];
    } catch {
      return [];
    }
  });
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return {
    loops,
    mounts: mounts.filter((line) => line.includes(home.root)),
    owners: names(home.owners),
    run: names(home.run),
    uids: names(home.uids),
    workspaces: names(home.workspaces),
  };
}

export const NOTHING_LEFT = { loops: [], mounts: [], owners: [], run: [], uids: [], workspaces: [] };

/** Pids of all processes that run under one of these uids. A zombie waits for its parent only, and runs nothing. */
/** False for a zombie, too: when it is reaped is its parent's business, and an orphan's is the machine's. */
export function isRunning(pid: number): boolean {
  try {
    return !readStatus(pid)["State"]?.startsWith("Z");
  } catch {
    return false;
  }
}

export function listProcessesOf(uids: ReadonlySet<number>): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      if (!uids.has(statSync(`/proc/${name}`).uid)) return [];
      return readStatus(Number(name))["State"]?.startsWith("Z") ? [] : [Number(name)];
    } catch {
      return [];
    }
  });
}

export function readStatus(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(":\t").map((part) => part.trim())));
}

/** Pid 1 of a sandbox as the host sees it: the member whose pid namespace is not ours and whose parent's is. */
export function findInitProcess(id: string): number {
  const ours = readlinkSync("/proc/self/ns/pid");
  const inside = listMembers(id).filter((pid) => readlinkSync(`/proc/${pid}/ns/pid`) !== ours);
  const first = inside.find((pid) => readStatus(pid)["NSpid"]?.split(/\s+/).at(-1) === "1");
  if (first === undefined) throw new Error(`sandbox ${id} has no process`);
  return first;
}

/** Waits until `check` holds; the things waited for here have no event to await. */
export async function until(check: () => boolean, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!check()) {
    if (performance.now() > deadline) throw new Error(`still not so after ${timeoutMs} ms: ${String(check)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
