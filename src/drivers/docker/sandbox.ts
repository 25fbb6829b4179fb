import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { toPaddockError } from "../../errors/error.ts";
import { raceSignal } from "../../lib/deadline.ts";
import { parseUntrustedJson } from "../../lib/json.ts";
import { isAlive, isHeldUp } from "../../lib/process-identity.ts";
import type { Isolation } from "../../model/isolation.ts";
import type { DriverSandbox, SandboxEnd, UsageSample } from "../driver.ts";
import type { ContainerStdio } from "./engine/demux.ts";
import type { ContainerFacts, Engine } from "./engine/engine.ts";
import { killLocally, type LocalEvidence, readStats } from "./evidence.ts";

/** After an engine's kill has not ended the container for so long, its first process is killed from here. */
const ENGINE_KILL_MS = 2000;
/** The same where nothing can be killed from here: the sandbox is given up. */
const REMOTE_KILL_MS = 10_000;
/** Exit status of a Go program that its runtime ends. */
const GVISOR_FATAL = 2;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 500;

export interface SandboxParts {
  readonly engine: Engine;
  readonly container: ContainerFacts;
  readonly isolation: Isolation;
  /** Absent where the container runs on another machine. */
  readonly evidence: LocalEvidence | undefined;
  readonly isGvisor: boolean;
  /** Absent for an adopted container. */
  readonly stdio: ContainerStdio | undefined;
  /** The channel goes over `stdio`. */
  readonly usesStdio: boolean;
  /**
   * Removes what the driver keeps beside the container. Called after the container is gone, as far as anybody can tell.
   */
  readonly release: (options: { readonly keepWorkspace: boolean; readonly containerRemoved: boolean }) => Promise<void>;
}

/** A living container: evidence from this machine where it runs here, else from the engine. */
export class DockerSandbox implements DriverSandbox {
  readonly isolation: Isolation;
  readonly ended: Promise<SandboxEnd>;
  readonly stdio?: Duplex;
  readonly #parts: SandboxParts;
  readonly #watching = new AbortController();
  readonly #end: (detail: string) => void;
  #remote: UsageSample = {};
  #oomKilled = false;
  #hasEnded = false;
  #paused = false;
  #killDetail: string | undefined;
  #destroyed: Promise<void> | undefined;

  constructor(parts: SandboxParts) {
    this.isolation = parts.isolation;
    this.#parts = parts;
    if (parts.usesStdio && parts.stdio !== undefined) this.stdio = parts.stdio;
    const { promise, resolve } = Promise.withResolvers<SandboxEnd>();
    this.ended = promise;
    this.#end = (detail) => {
      this.#hasEnded = true;
      const killed = this.#killDetail;
      resolve(killed === undefined ? { kind: "exited", detail } : { kind: "killed", detail: killed });
    };
  }

  /** Starts to watch for the container's end. */
  watch(): this {
    void this.#watch();
    if (this.#parts.evidence === undefined) void this.#followStats();
    return this;
  }

  usage(): UsageSample {
    const sample = this.#parts.evidence?.usage.read() ?? this.#remote;
    return this.#oomKilled && (sample.oomKills ?? 0) === 0 ? { ...sample, oomKills: 1 } : sample;
  }

  /** Of gVisor's kernel any thread may be the one that is held up. */
  isHeldUp(): boolean {
    const { evidence } = this.#parts;
    return evidence !== undefined && isHeldUp(evidence.process.pid);
  }

  resetPeak(): boolean {
    return this.#parts.evidence?.usage.resetPeak() ?? false;
  }

  async pause(): Promise<void> {
    this.#paused = true;
    await this.#parts.engine.pause(this.#parts.container.id);
  }

  async resume(): Promise<void> {
    await this.#parts.engine.unpause(this.#parts.container.id);
    this.#paused = false;
  }

  /** gVisor refuses signals to a paused sandbox, and its engine then never lets go of it. */
  async #resumeToEnd(): Promise<void> {
    if (this.#paused) await this.resume().catch(() => undefined);
  }

  async kill(detail: string): Promise<void> {
    if (this.#killDetail === undefined) {
      this.#killDetail = detail;
      if (!this.#hasEnded) await this.#kill();
    }
    await this.ended;
  }

  destroy(options: { readonly keepWorkspace?: boolean } = {}): Promise<void> {
    // What an engine that was silent still has can be asked for again.
    this.#destroyed ??= this.#destroy(options.keepWorkspace ?? false).catch((error: unknown) => {
      this.#destroyed = undefined;
      throw error;
    });
    return this.#destroyed;
  }

  /** For a driver that closes: whatever still runs goes with its holder. */
  finish(detail: string): void {
    this.#watching.abort();
    this.#end(detail);
  }

  /**
   * Asks the engine; an engine that does not answer, or not in time, is not waited for where we can kill by ourselves.
   */
  async #kill(): Promise<void> {
    const { engine, container, evidence } = this.#parts;
    const asked = this.#resumeToEnd()
      .then(() => engine.kill(container.id))
      .then(
        () => this.ended,
        () => undefined,
      );
    const limitMs = evidence === undefined ? REMOTE_KILL_MS : ENGINE_KILL_MS;
    await Promise.race([asked, sleep(limitMs, undefined, { ref: false })]);
    if (this.#hasEnded) return;
    if (evidence === undefined) this.#giveUp();
    else killLocally(evidence);
  }

  /**
   * Its supervisor ends when its standard input does; what an unreachable engine keeps is the next start's to sweep.
   */
  #giveUp(): void {
    this.#parts.stdio?.destroy();
    this.finish("the engine does not answer");
  }

  async #destroy(keepWorkspace: boolean): Promise<void> {
    const { engine, container, evidence, release, stdio } = this.#parts;
    this.usage();
    this.#killDetail ??= "destroyed";
    let containerRemoved = true;
    try {
      await this.#resumeToEnd();
      await removeWholly(engine, container.id);
    } catch {
      containerRemoved = false;
      if (evidence !== undefined) killLocally(evidence);
    }
    this.finish("destroyed");
    evidence?.usage.close();
    stdio?.destroy();
    await release({ keepWorkspace, containerRemoved });
  }

  async #watch(): Promise<void> {
    const { signal } = this.#watching;
    let delayMs = FIRST_RETRY_MS;
    while (!this.#hasEnded) {
      try {
        await this.#awaitEnd();
        return;
      } catch {
        if (signal.aborted) return;
        if (this.#isGoneHere())
          return this.#end(this.#describe("the container's first process is gone, the engine does not answer"));
        await sleep(delayMs, undefined, { ref: false });
        delayMs = Math.min(delayMs * 2, LAST_RETRY_MS);
      }
    }
  }

  /** Returns once the container does not run. Throws while the engine cannot be asked. */
  async #awaitEnd(): Promise<void> {
    const { engine, container } = this.#parts;
    const { signal } = this.#watching;
    const code = await raceSignal(engine.waitContainer(container.id, signal), signal);
    const after = await engine.inspectContainer(container.id);
    if (after?.running === true && after.startedAt === container.startedAt) throw new Error("the container runs again");
    this.#oomKilled = after?.oomKilled ?? false;
    this.#parts.evidence?.usage.read();
    const status = code ?? after?.exitCode;
    this.#end(this.#describe(describeStatus(status, this.#parts.isGvisor)));
  }

  #isGoneHere(): boolean {
    const { evidence } = this.#parts;
    return evidence !== undefined && !isAlive(evidence.process);
  }

  #describe(what: string): string {
    const said = this.#parts.stdio?.diagnosis ?? "";
    return said === "" ? what : `${what}: ${said}`;
  }

  /** The last sample of the engine's stream stands until the next. */
  async #followStats(): Promise<void> {
    const { engine, container } = this.#parts;
    const { signal } = this.#watching;
    while (!this.#hasEnded && !signal.aborted) {
      try {
        const input = await engine.streamStats(container.id, signal);
        signal.addEventListener("abort", () => input.destroy(), { once: true });
        for await (const line of createInterface({ input })) this.#remote = readStats(parseUntrustedJson(line));
      } catch (error) {
        if (toPaddockError(error).code === "internal" && signal.aborted) return;
      }
      await sleep(LAST_RETRY_MS, undefined, { ref: false });
    }
  }
}

function describeStatus(status: number | undefined, isGvisor: boolean): string {
  if (status === undefined) return "the container is gone";
  if (!isGvisor || status !== GVISOR_FATAL) return `exit status ${status}`;
  return "gVisor's kernel gave up (exit status 2), as it does when the pids limit refuses it a thread";
}

const REMOVAL_MS = 15_000;

/**
 * Removes a container and waits until the engine does not know it any more: two requests at a time make one of them
 * fail.
 */
export async function removeWholly(engine: Engine, idOrName: string): Promise<void> {
  const end = performance.now() + REMOVAL_MS;
  while (!(await engine.removeContainer(idOrName))) {
    if ((await engine.inspectContainer(idOrName)) === undefined) return;
    if (performance.now() > end) throw new Error(`the engine has not removed ${idOrName} in ${REMOVAL_MS} ms`);
    await sleep(FIRST_RETRY_MS);
  }
}
