import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listNames, readText, until } from "../conformance/driver/scan.ts";
import { testEngine } from "./engine.ts";

const START_MS = 40_000;

/**
 * An engine of one test alone, which that test may kill. Its data is kept between runs, so that images are loaded once.
 */
export class OwnEngine implements AsyncDisposable {
  readonly host: string;
  readonly #folder: string;
  #dockerd: ChildProcess | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    this.host = `unix://${join(folder, "docker.sock")}`;
  }

  async start(options: { readonly liveRestore: boolean }): Promise<void> {
    const at = (name: string): string => join(this.#folder, name);
    rmSync(at("dockerd.pid"), { force: true });
    rmSync(at("docker.sock"), { force: true });
    rmSync(at("exec/containerd/containerd.pid"), { force: true });
    writeFileSync(at("daemon.json"), JSON.stringify({ "live-restore": options.liveRestore, "log-level": "warn" }));
    const log = openSync(at("dockerd.log"), "w");
    const paths = ["--config-file", at("daemon.json"), "--data-root", at("data"), "--exec-root", at("exec")];
    const groups = ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/paddock-own-engine"];
    const network = ["--bridge=none", "--iptables=false", "--ip6tables=false"];
    this.#dockerd = spawn(
      "dockerd",
      [...paths, ...groups, ...network, "--pidfile", at("dockerd.pid"), "-H", this.host],
      { stdio: ["ignore", log, log], detached: true },
    );
    await until(() => spawnSync("docker", ["-H", this.host, "info"]).status === 0, START_MS);
  }

  /** SIGKILL of the engine, which takes its containerd along: containers and their shims go on. */
  async kill(): Promise<void> {
    const dockerd = this.#dockerd;
    this.#dockerd = undefined;
    if (dockerd === undefined || dockerd.exitCode !== null) return;
    const exited = once(dockerd, "exit");
    dockerd.kill("SIGKILL");
    await exited;
    await this.#awaitContainerd();
  }

  /** Takes an image over from the tests' engine; its id stays. */
  load(id: string): void {
    if (spawnSync("docker", ["-H", this.host, "image", "inspect", id]).status === 0) return;
    const pipe = `docker -H "${testEngine().host}" save "$1" | docker -H "${this.host}" load`;
    execFileSync("bash", ["-euo", "pipefail", "-c", pipe, "bash", id], { stdio: ["ignore", "ignore", "inherit"] });
  }

  /** Names and states of all containers. */
  listContainers(): string[] {
    const format = ["--format", "{{.Names}} {{.State}}"];
    const text = execFileSync("docker", ["-H", this.host, "ps", "-a", ...format], { encoding: "utf8" });
    return text.split("\n").filter(Boolean);
  }

  /** Shims that run a container of this engine. */
  listShims(): string[] {
    return listNames("/proc").filter((pid) => {
      const command = readText(`/proc/${pid}/cmdline`);
      return command.includes("containerd-shim") && command.includes(this.#folder);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#dockerd === undefined) await this.start({ liveRestore: false });
    for (const line of this.listContainers())
      spawnSync("docker", ["-H", this.host, "rm", "-f", line.split(" ")[0] ?? ""]);
    const exited = this.#dockerd && once(this.#dockerd, "exit");
    this.#dockerd?.kill("SIGTERM");
    await exited;
    await this.#awaitContainerd();
    // The first engine mounted its data on itself; one that was killed leaves that, and the next one takes it for the
    // machine's.
    spawnSync("umount", [join(this.#folder, "data")]);
  }

  /** Its pid file would make the next engine wait for it. */
  async #awaitContainerd(): Promise<void> {
    const isOurs = (pid: string): boolean => {
      const command = readText(`/proc/${pid}/cmdline`);
      return /^[^\0]*containerd\0/.test(command) && command.includes(this.#folder);
    };
    await until(() => !listNames("/proc").some(isOurs));
    rmSync(join(this.#folder, "exec/containerd/containerd.pid"), { force: true });
  }
}
