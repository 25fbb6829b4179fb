import { isHeldUp } from "../../lib/process-identity.ts";
import type { Isolation } from "../../model/isolation.ts";
import type { DriverSandbox, SandboxEnd, UsageSample } from "../driver.ts";
import type { UsageReader } from "../host/cgroup-usage.ts";

/** What a sandbox needs of its driver. */
export interface SandboxControl {
  readonly kill: (id: string) => void;
  /** Kills, waits for the end and removes; after a failure it may be asked for again. */
  readonly remove: (id: string, keepWorkspace: boolean) => Promise<void>;
}

/** A living sandbox: evidence from its groups, and its end as the launcher reports it. */
export class BubblewrapSandbox implements DriverSandbox {
  readonly isolation: Isolation;
  readonly ended: Promise<SandboxEnd>;
  readonly #id: string;
  readonly #usage: UsageReader;
  readonly #control: SandboxControl;
  readonly #end: (end: SandboxEnd) => void;
  /** The supervisor's, on the host. */
  #pid: number | undefined;
  #killDetail: string | undefined;
  #destroyed: Promise<void> | undefined;

  constructor(id: string, isolation: Isolation, usage: UsageReader, control: SandboxControl) {
    this.isolation = isolation;
    this.#id = id;
    this.#usage = usage;
    this.#control = control;
    const { promise, resolve } = Promise.withResolvers<SandboxEnd>();
    this.ended = promise;
    this.#end = resolve;
  }

  usage(): UsageSample {
    return this.#usage.read();
  }

  isHeldUp(): boolean {
    return this.#pid !== undefined && isHeldUp(this.#pid);
  }

  resetPeak(): boolean {
    return this.#usage.resetPeak();
  }

  async kill(detail: string): Promise<void> {
    if (this.#killDetail === undefined) {
      this.#killDetail = detail;
      this.#control.kill(this.#id);
    }
    await this.ended;
  }

  destroy(options: { readonly keepWorkspace?: boolean } = {}): Promise<void> {
    // What could not be removed can be asked for again.
    this.#destroyed ??= this.#destroy(options.keepWorkspace ?? false).catch((error: unknown) => {
      this.#destroyed = undefined;
      throw error;
    });
    return this.#destroyed;
  }

  /** The driver calls this when the launcher has said which process the supervisor is. */
  started(pid: number): void {
    this.#pid = pid;
  }

  /** The driver calls this once nothing of the sandbox lives. */
  finish(detail: string): void {
    this.#pid = undefined;
    this.#usage.read();
    this.#end(
      this.#killDetail === undefined ? { kind: "exited", detail } : { kind: "killed", detail: this.#killDetail },
    );
  }

  async #destroy(keepWorkspace: boolean): Promise<void> {
    this.#usage.read();
    this.#killDetail ??= "destroyed";
    await this.#control.remove(this.#id, keepWorkspace);
    this.#usage.close();
  }
}
