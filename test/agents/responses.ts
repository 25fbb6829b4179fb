import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LiveLogs, type LiveLogsOptions } from "../../src/agents/events/live-log.ts";
import { readWork } from "../../src/agents/run/compile-input.ts";
import { SegmentWriter } from "../../src/agents/segments/segment-writer.ts";
import type { App } from "../../src/app.ts";
import { toPaddockError } from "../../src/errors/error.ts";
import { makeLeasePlace } from "../../src/executor/lease-place.ts";
import type { Lease } from "../../src/fleet/leases/lease.ts";
import type { AgentRow } from "../../src/model/agent.ts";
import type { ResponseRow, Segment } from "../../src/model/response.ts";
import type { Fence } from "../../src/store/state-store/responses.ts";
import type { StateStore } from "../../src/store/state-store.ts";
import { insertAgent, makeResponse, ROOMY, startStore } from "../store/state/samples.ts";

const NODE = "node-live";

/** One agent's responses in a database of their own, claimed and run one after another as a server does. */
export class Responses implements AsyncDisposable {
  readonly store: StateStore;
  readonly agent: AgentRow;
  live: LiveLogs;
  readonly #folder: string;
  readonly #reign: number;

  private constructor(store: StateStore, agent: AgentRow, reign: number, folder: string) {
    this.store = store;
    this.agent = agent;
    this.live = new LiveLogs(store);
    this.#reign = reign;
    this.#folder = folder;
  }

  static async open(): Promise<Responses> {
    const folder = mkdtempSync(join(tmpdir(), "paddock-responses-"));
    const store = await startStore({ folder });
    const reign = await store.beginReign(NODE, null);
    return new Responses(store, await insertAgent(store, { nodeId: NODE }), reign, folder);
  }

  /** As after a restart of the server: nothing is in memory. */
  forget(options?: LiveLogsOptions): void {
    this.live[Symbol.dispose]();
    this.live = new LiveLogs(this.store, options);
  }

  async post(input: unknown): Promise<ResponseRow> {
    return (await this.store.insertResponse(this.agent.id, makeResponse({ input }), ROOMY)).row;
  }

  async claim(): Promise<{ readonly row: ResponseRow; readonly fence: Fence }> {
    const row = await this.store.claimResponse(this.agent.id, NODE, this.#reign);
    if (row === undefined) throw new Error("nothing to claim");
    this.live.open(row.id).status("processing");
    return { row, fence: { nodeId: NODE, reign: this.#reign, attempt: row.attempts } };
  }

  makeWriter({ row, fence }: { readonly row: ResponseRow; readonly fence: Fence }): SegmentWriter {
    const append = (after: number, segments: readonly Segment[]) =>
      this.store.appendSegments(row.id, fence, after, segments);
    return new SegmentWriter({ append, live: this.live.open(row.id) });
  }

  /** Runs the oldest pending response in a sandbox to its end. */
  async run(app: App, lease: Lease, signal?: AbortSignal): Promise<ResponseRow> {
    const claim = await this.claim();
    const { row, fence } = claim;
    const writer = this.makeWriter(claim);
    const { task, plan } = readWork(row.input, this.agent.settings);
    const result = await app.executor
      .runPlanned(
        { taskId: row.taskId, task, plan },
        { place: makeLeasePlace(lease), sink: writer, ...(signal && { signal }) },
      )
      .catch(toPaddockError);
    const end = await writer.finish(result);
    const status = result instanceof Error ? "failed" : result.status;
    await this.store.finishResponse(row.id, fence, { status, ...end });
    this.live.close(row.id);
    const ended = await this.store.findResponse(row.id);
    if (ended === undefined) throw new Error("the response is gone");
    return ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.live[Symbol.dispose]();
    await this.store[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
