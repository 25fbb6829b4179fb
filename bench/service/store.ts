import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { summarise } from "../../src/compare/stats.ts";
import type { Measured } from "../../src/model/comparison.ts";
import { type AgentId, makeAgentId, makeTaskId, makeVolumeId } from "../../src/model/ids.ts";
import { openStateStore } from "../../src/store/state/open.ts";
import type { Fence } from "../../src/store/state-store/responses.ts";
import type { StateStore } from "../../src/store/state-store.ts";

const SEGMENT = {
  type: "tool_result",
  tool: "run_python",
  output: "x".repeat(500),
  record: { filler: "y".repeat(2500) },
};
const NODE = "bench-node";

/** The writes on the way of one task, each made durable, on a database of their own below `folder`. */
export async function measureStore(folder: string, n: number): Promise<Readonly<Record<string, Measured>>> {
  const own = mkdtempSync(join(folder, "bench-store-"));
  await using store = openStateStore({ folder: own });
  try {
    await store.start();
    return await measureWrites(store, n);
  } finally {
    rmSync(own, { recursive: true });
  }
}

async function measureWrites(store: StateStore, n: number): Promise<Readonly<Record<string, Measured>>> {
  const reign = await store.beginReign(NODE, null);
  const agentId = await insertAgent(store);
  const times: Record<string, number[]> = { insert: [], claim: [], append: [], finish: [], settle: [], read: [] };
  const time = async <Result>(name: string, act: () => Promise<Result>): Promise<Result> => {
    const begun = performance.now();
    const result = await act();
    times[name]?.push(performance.now() - begun);
    return result;
  };
  const limits = { refuseBusy: false, maxQueued: 1000, maxOfPrincipal: 5000 };
  for (let i = 0; i < n; i++) {
    const id = randomUUID();
    const input = { content: [{ type: "python", content: "1+1" }] };
    const fresh = { id, taskId: makeTaskId(), createdBy: "bench", input, options: { idempotent: false } };
    await time("insert", () => store.insertResponse(agentId, { ...fresh, createdAt: Date.now() }, limits));
    const row = await time("claim", () => store.claimResponse(agentId, NODE, reign));
    if (row?.id !== id) throw new Error("another response was claimed");
    const fence: Fence = { nodeId: NODE, reign, attempt: row.attempts };
    if ((await time("append", () => store.appendSegments(id, fence, 0, [SEGMENT, SEGMENT]))) === false)
      throw new Error("the claim was over");
    await time("finish", () => store.finishResponse(id, fence, { status: "completed", outputContent: [] }));
    await time("settle", () => store.settleAgent(agentId, Date.now()));
    await time("read", () => store.getResponse(id));
  }
  return Object.fromEntries(Object.entries(times).map(([name, samples]) => [name, summarise(samples)]));
}

async function insertAgent(store: StateStore): Promise<AgentId> {
  const { agent } = await store.insertAgent({
    id: makeAgentId(),
    name: "bench",
    createdBy: "bench",
    state: "idle",
    description: null,
    parentName: null,
    metadata: {},
    tags: [],
    createdAt: Date.now(),
    lastActivityAt: null,
    idleTimeoutSeconds: 300,
    busyTimeoutSeconds: 3600,
    idleFrom: null,
    busyFrom: null,
    contextCutoffAt: null,
    lastContextLength: 0,
    wokeAt: null,
    runtimeMs: 0,
    published: null,
    publicationRevision: null,
    publishPermissions: { code: true, env: true, content: true },
    settings: {
      nodeType: "python",
      network: undefined,
      bare: undefined,
      limits: {},
      env: {},
      setup: undefined,
      instructions: undefined,
    },
    setupReport: null,
    missingCopy: null,
    volumeId: makeVolumeId(),
    nodeId: NODE,
  });
  return agent.id;
}
