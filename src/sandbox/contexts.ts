import { DONE } from "./channel/messages.ts";
import type { Request } from "./request.ts";

export interface CodeContext {
  readonly name: string;
  readonly language: string;
  readonly pid: number;
  readonly busy: boolean;
}

/** Named contexts keep state between code runs, as a notebook does. The first run under a name makes it. */
export class SandboxContexts {
  readonly #request: Request;

  constructor(request: Request) {
    this.#request = request;
  }

  async list(): Promise<readonly CodeContext[]> {
    const call = await this.#request({ op: "contexts" }, DONE.contexts);
    return (await call.done).contexts;
  }

  /** Interrupts what runs (KeyboardInterrupt), as soon as it has begun; the context keeps its state. */
  async interrupt(name: string): Promise<void> {
    await this.#act("context_interrupt", name);
  }

  /** Ends the context's process; the next run starts a fresh one. */
  async restart(name: string): Promise<void> {
    await this.#act("context_restart", name);
  }

  async remove(name: string): Promise<void> {
    await this.#act("context_remove", name);
  }

  async #act(op: string, context: string): Promise<void> {
    await (await this.#request({ op, context }, DONE.empty)).done;
  }
}
