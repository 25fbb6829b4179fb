import type { TaskScope } from "../../executor/scope.ts";
import type { ToolCallRecord } from "../../model/record.ts";
import { WireAccount } from "./account.ts";
import type { AgentRequest, RactorClient } from "./ractor-client.ts";
import { awaitReady, createAgent, removeAgent } from "./remote-agent.ts";

/** The agent that a task has on the server; closing deletes it. */
export class TaskAgent {
  readonly client: RactorClient;
  readonly name: string;
  /** Holds what making the agent cost. */
  readonly account = new WireAccount();
  leaseMs = 0;
  readonly #task: TaskScope;
  #isMade = false;

  constructor(client: RactorClient, name: string, task: TaskScope) {
    this.client = client;
    this.name = name;
    this.#task = task;
  }

  /** `setup` is waited for where the request has setup code. */
  async open(request: AgentRequest, setup?: { readonly hash: string; readonly setupMs: number }): Promise<void> {
    const { client, account } = this;
    const { signal, sink } = this.#task;
    const begun = performance.now();
    const stop = client.observe((sent) => account.add(sent));
    try {
      await sink.event({ type: "progress", message: `creating agent ${this.name}` });
      await createAgent(client, request, signal, () => {
        this.#isMade = true;
      });
      if (setup !== undefined) {
        const onProgress = (message: string): void => void sink.event({ type: "progress", message });
        onProgress("waiting for the setup code");
        await awaitReady(client, { request, ...setup, signal, onProgress });
      }
    } finally {
      stop();
    }
    this.leaseMs = performance.now() - begun;
    await sink.event({ type: "sandbox_ready", sandboxId: this.name, createMs: this.leaseMs });
  }

  /** The first call's is the agent's own. */
  accountOf(index: number): WireAccount {
    return index === 0 ? this.account : new WireAccount();
  }

  async close(): Promise<void> {
    if (!this.#isMade || (await removeAgent(this.client, this.name))) return;
    const message = `agent ${this.name} could not be deleted: delete it on the server`;
    await this.#task.sink.event({ type: "progress", message });
  }
}

/** Output comes at the end of a call: a server shows none while it runs. */
export async function tellOutput({ sink }: TaskScope, record: ToolCallRecord): Promise<void> {
  if (record.category !== "subprocess" && record.category !== "package") return;
  for (const stream of ["stdout", "stderr"] as const) {
    const chunk = Buffer.from(record[stream].text);
    if (chunk.length > 0) await sink.output({ type: "output", callId: record.tool_call_id, stream, chunk });
  }
}
