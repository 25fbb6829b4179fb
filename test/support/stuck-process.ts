import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listGroups, until } from "../drivers/bubblewrap/harness.ts";
import { FrozenFolder } from "./frozen-folder.ts";

/** A process that cannot be killed until it is let go. A sandbox whose groups it joins can neither. */
export class StuckProcess implements AsyncDisposable {
  readonly #folder: FrozenFolder;
  readonly #child: ChildProcess;

  private constructor(folder: FrozenFolder, child: ChildProcess) {
    this.#folder = folder;
    this.#child = child;
  }

  static async start(): Promise<StuckProcess> {
    const folder = new FrozenFolder();
    const child = spawn("/bin/sh", ["-c", 'while :; do echo x > "$0/file"; done', folder.path], { stdio: "ignore" });
    await once(child, "spawn");
    folder.freeze();
    const readState = (): string => readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.[0] ?? "";
    await until(() => readState() === "D");
    return new StuckProcess(folder, child);
  }

  join(sandboxId: string): void {
    for (const group of listGroups(sandboxId)) writeFileSync(join(group, "cgroup.procs"), String(this.#child.pid));
  }

  /** Ends the process, which a sandbox may have killed already. */
  async letGo(): Promise<void> {
    this.#folder.thaw();
    this.#child.kill("SIGKILL");
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.letGo();
    this.#folder[Symbol.dispose]();
  }
}
