import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type App, closeLostTasks, createApp } from "../../src/app.ts";
import { type Home, resolveHome } from "../../src/config/home.ts";
import { awaitEmpty, listNames, livingRemains, readText } from "../conformance/driver/scan.ts";
import { CLI } from "./cli.ts";
import { listEngineState } from "./engine-state.ts";
import { TEST_HOME, testHome } from "./home.ts";

const VICTIM = fileURLToPath(new URL("victim.ts", import.meta.url));
const SLEEPER = "import time\nprint('on', flush=True)\ntime.sleep(60)";
/**
 * A create that was under way when launcher and owner died is waited for 3 s (docs/ownership.md); shims of an engine go
 * a moment later.
 */
const GONE_MS = 20_000;

/** A data folder of its own, so that everything in it and everything that mentions it was left by a victim. */
export class CrashSite {
  readonly home: Home;
  readonly #env: NodeJS.ProcessEnv;
  readonly #usesEngine: boolean;
  /** Every sandbox that a victim has made. */
  readonly ids = new Set<string>();
  readonly #before: ReadonlySet<string>;
  /** Containers of others, by the beginnings of their ids. */
  readonly #foreign = new Set<string>();

  constructor(driver: "bubblewrap" | "docker") {
    this.#usesEngine = driver === "docker";
    this.#env = { ...process.env, PADDOCK_HOME: `${TEST_HOME}-crash-${driver}`, PADDOCK_DRIVER: driver };
    this.home = resolveHome(this.#env, process.getuid?.() ?? 0);
    mkdirSync(this.home.root, { recursive: true, mode: 0o711 });
    const images = join(testHome.root, "images.json");
    // The images of the test home are at the same engine.
    if (this.#usesEngine && existsSync(images)) copyFileSync(images, join(this.home.root, "images.json"));
    this.#before = new Set(this.#listTasks());
    for (const item of this.#usesEngine ? listEngineState() : []) {
      const id = /^(?:shim|cgroup) .*?([0-9a-f]{12})[0-9a-f]*$/.exec(item)?.[1];
      if (id !== undefined) this.#foreign.add(id);
    }
  }

  /** What every start does: sweeps, and closes the tasks of dead owners. */
  async startAndStop(): Promise<void> {
    await using app = await this.open();
    await app.fleet.start();
    closeLostTasks(app);
  }

  open(): Promise<App> {
    return createApp({ env: this.#env });
  }

  startCli(): Victim {
    return this.#start([CLI, "run", "--bare", "-q", "-c", SLEEPER]);
  }

  startLibrary(...args: readonly string[]): Victim {
    return this.#start([VICTIM, ...args]);
  }

  /** What still runs, is mounted or is at the engine of any victim. */
  listLiving(): string[] {
    const living = livingRemains([this.home.root, ...this.ids]);
    return [...living, ...this.listProcesses(), ...this.#listMounts(), ...this.#listAtEngine()];
  }

  /** Processes that were started from the data folder: launchers and supervisors. */
  listProcesses(): string[] {
    return listNames("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        const command = readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
        return command.includes(this.home.root) ? [`process ${pid} ${command}`] : [];
      });
  }

  /**
   * What sandboxes have in the data folder. Formatted images that workspaces are copied from stay; drafts of them go
   * after an hour.
   */
  listStored(): string[] {
    return [this.home.run, this.home.owners, this.home.workspaces, this.home.uids].flatMap((room) =>
      listNames(room)
        .filter((name) => !/^\.(blank|probe)-/.test(name))
        .map((name) => join(room, name)),
    );
  }

  /** Starts until nothing of any victim is left; names what is left after the time. */
  async clear(): Promise<readonly string[]> {
    const deadline = performance.now() + GONE_MS;
    for (;;) {
      await this.startAndStop();
      const left = [...(await awaitEmpty(() => this.listLiving(), 500)), ...this.listStored()];
      if (left.length === 0 || performance.now() > deadline) return left;
    }
  }

  /** Nothing lives; what is stored is the next start's. */
  async awaitDead(): Promise<readonly string[]> {
    return await awaitEmpty(() => this.listLiving(), GONE_MS);
  }

  noteIds(): void {
    for (const path of this.listStored()) for (const id of path.match(/sbx_\w{26}/) ?? []) this.ids.add(id);
  }

  /** The last lines of the journals that victims have begun. */
  lastLines(): { readonly line: string }[] {
    const begun = this.#listTasks().filter((name) => !this.#before.has(name));
    return begun.map((name) => {
      const lines = readFileSync(join(this.home.tasks, name), "utf8").trim().split("\n");
      return JSON.parse(lines.at(-1) ?? "") as { line: string };
    });
  }

  /**
   * Shims and cgroups bear the id of a container only: those of others are known by their containers, or were there
   * before.
   */
  #listAtEngine(): string[] {
    if (!this.#usesEngine) return [];
    const state = listEngineState();
    const isOurs = (item: string): boolean => [...this.ids].some((id) => item.includes(id));
    for (const item of state)
      if (item.startsWith("container ") && !isOurs(item)) this.#foreign.add(item.split(" ").at(-1) ?? "");
    return state.filter(
      (item) =>
        isOurs(item) ||
        (/^(shim|cgroup) /.test(item) && ![...this.#foreign].some((container) => item.includes(container))),
    );
  }

  #listTasks(): string[] {
    return listNames(this.home.tasks).filter((name) => name.endsWith(".jsonl"));
  }

  #listMounts(): string[] {
    const lines = readText("/proc/self/mountinfo").split("\n");
    return lines.filter((line) => line.includes(this.home.root)).map((line) => `mount ${line.split(" ")[4]}`);
  }

  #start(argv: readonly string[]): Victim {
    const child = spawn(process.execPath, argv, { env: this.#env, stdio: ["ignore", "pipe", "inherit"] });
    return new Victim(child, this);
  }
}

export class Victim {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #on = Promise.withResolvers<void>();
  readonly #site: CrashSite;

  constructor(child: ChildProcess, site: CrashSite) {
    this.#child = child;
    this.#site = site;
    this.#closed = once(child, "close");
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      for (const id of text.match(/sbx_\w{26}/g) ?? []) site.ids.add(id);
      if (/^on$/m.test(text)) this.#on.resolve();
    });
    this.#on.promise.catch(() => undefined);
    void this.#closed.then(() => this.#on.reject(new Error(`the victim ended before its call ran: ${text}`)));
  }

  /** Resolves once its call runs. */
  async saidOn(): Promise<void> {
    await this.#on.promise;
    this.#site.noteIds();
  }

  /** SIGKILL, by its own hand where it was told to. */
  async kill(): Promise<void> {
    this.#site.noteIds();
    this.#child.kill("SIGKILL");
    await this.died();
  }

  /** Throws where it ended in any other way than by SIGKILL. */
  async died(): Promise<void> {
    await this.#closed;
    this.#site.noteIds();
    if (this.#child.signalCode !== "SIGKILL") throw new Error(`the victim was not killed: ${this.#child.exitCode}`);
  }
}
