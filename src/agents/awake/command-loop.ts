import { setTimeout as sleep } from "node:timers/promises";
import { PaddockError } from "../../errors/error.ts";
import type { AgentServices } from "../core/agent-services.ts";

const RETRY_MS = 1000;
const INTERRUPTED = new Error("a command goes first");

/**
 * One piece of work; false when there is none. May reject with the signal's reason when it aborts: a command goes first
 * then.
 */
export type Work = (interrupted: AbortSignal) => Promise<boolean>;

/** Runs commands and pieces of work one after another, commands first, as long as there are any. */
export class CommandLoop {
  readonly #core: AgentServices;
  readonly #work: Work;
  readonly #onRest: () => void;
  readonly #commands: (() => Promise<void>)[] = [];
  #interrupt = new AbortController();
  #isPoked = false;
  #isLooping = false;

  constructor(core: AgentServices, work: Work, onRest: () => void) {
    this.#core = core;
    this.#work = work;
    this.#onRest = onRest;
  }

  get isBusy(): boolean {
    return this.#isLooping;
  }

  /** There may be work. */
  poke(): void {
    this.#isPoked = true;
    void this.#loop();
  }

  async command<T>(command: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#commands.push(() => command().then(resolve, reject));
    this.#interrupt.abort(INTERRUPTED);
    this.#interrupt = new AbortController();
    void this.#loop();
    return await promise;
  }

  async #loop(): Promise<void> {
    if (this.#isLooping) return;
    this.#isLooping = true;
    for (;;) {
      const command = this.#commands.shift();
      if (command !== undefined) {
        await command();
        continue;
      }
      this.#isPoked = false;
      const worked = await this.#tryWork();
      if (!worked && !this.#isPoked && this.#commands.length === 0) break;
    }
    this.#isLooping = false;
    this.#onRest();
  }

  /** What fails here is the platform's fault and nobody waits for it: it is told, and tried again. */
  async #tryWork(): Promise<boolean> {
    const { closing, telemetry } = this.#core;
    const { signal } = this.#interrupt;
    try {
      return await this.#work(signal);
    } catch (error) {
      if (error === INTERRUPTED) return true;
      if (closing.aborted) return false;
      telemetry.problem("agents.work", error);
      if (error instanceof PaddockError && error.code === "fenced") {
        this.#core.isDraining = true;
        return false;
      }
      await sleep(RETRY_MS, undefined, { signal: AbortSignal.any([signal, closing]) }).catch(() => undefined);
      return !closing.aborted;
    }
  }
}
