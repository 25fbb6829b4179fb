import { formatTime } from "../../lib/timestamp.ts";
import type { AgentId } from "../../model/ids.ts";
import type { AgentServices } from "../core/agent-services.ts";
import type { LiveLog } from "../events/live-log.ts";

interface Phase {
  readonly phase: string;
  readonly detail: string | undefined;
  readonly at: string;
}

/** The newest of them, for who comes late: builds say more. */
const MAX_KEPT = 50;

/**
 * What happens while an agent's sandbox is made for no task in particular. The task that waits longest is told in its
 * live events, also what happened before it was posted.
 */
export class SandboxProgress implements AsyncDisposable {
  readonly #core: AgentServices;
  readonly #agentId: AgentId;
  #kept: Phase[] = [];
  #fresh: Phase[] = [];
  #told: ({ readonly id: string; readonly log: LiveLog } & Disposable) | undefined;
  #isLooking = false;
  #telling: Promise<void> = Promise.resolve();

  constructor(core: AgentServices, agentId: AgentId) {
    this.#core = core;
    this.#agentId = agentId;
  }

  add(phase: string, detail?: string): void {
    this.#fresh.push({ phase, detail, at: formatTime() });
    this.look();
  }

  /** Another task may be the next one now. */
  look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#telling = this.#telling
      .then(() => this.#tell())
      .catch((error: unknown) => this.#core.telemetry.problem("agents.news", error));
  }

  async #tell(): Promise<void> {
    const { store, logs } = this.#core;
    this.#isLooking = false;
    const id = await store.findNext(this.#agentId);
    const fresh = this.#fresh.splice(0);
    const isSame = id === this.#told?.id;
    const untold = isSame ? fresh : [...this.#kept, ...fresh];
    this.#kept = [...this.#kept, ...fresh].slice(-MAX_KEPT);
    if (!isSame) {
      this.#told?.[Symbol.dispose]();
      const held = id === undefined ? undefined : logs.hold(id);
      this.#told = id === undefined || held === undefined ? undefined : Object.assign(held, { id });
    }
    for (const { phase, detail, at } of untold) this.#told?.log.phase(phase, detail, at);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#telling;
    this.#told?.[Symbol.dispose]();
    this.#told = undefined;
  }
}
