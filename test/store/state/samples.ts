import { randomUUID } from "node:crypto";
import type { AgentRow } from "../../../src/model/agent.ts";
import { makeAgentId, makeTaskId, makeVolumeId } from "../../../src/model/ids.ts";
import type { ResponseRow, Segment } from "../../../src/model/response.ts";
import { openStateStore, type StateOptions } from "../../../src/store/state/open.ts";
import type { Fence, NewResponse } from "../../../src/store/state-store/responses.ts";
import type { StateStore } from "../../../src/store/state-store.ts";

/** One of the databases that the store works on. */
export interface StateSubject {
  readonly name: "sqlite" | "postgres";
  /** An empty database of its own. */
  makeDatabase(): Promise<StateOptions>;
}

export async function startStore(options: StateOptions): Promise<StateStore> {
  const store = openStateStore(options);
  await store.start();
  return store;
}

export const makeName = (): string => `Agent-${randomUUID()}`;

export function makeAgent(facts: Partial<AgentRow> = {}): Omit<AgentRow, "version"> {
  const { version: _, ...given } = { version: 0, ...facts };
  return {
    id: makeAgentId(),
    name: makeName(),
    createdBy: "ann",
    state: "idle",
    description: null,
    parentName: null,
    metadata: {},
    tags: [],
    createdAt: 1_700_000_000_123,
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
      env: { TOKEN: "secret" },
      setup: undefined,
      instructions: undefined,
    },
    setupReport: null,
    missingCopy: null,
    volumeId: makeVolumeId(),
    nodeId: "node-a",
    ...given,
  };
}

export const makeResponse = (facts: Partial<NewResponse> = {}): NewResponse => ({
  id: randomUUID(),
  taskId: makeTaskId(),
  createdBy: "ann",
  input: { content: [{ type: "text", content: "hello" }] },
  options: { idempotent: false },
  createdAt: 1_700_000_000_456,
  ...facts,
});

export const ROOMY = { refuseBusy: false, maxQueued: 10_000, maxOfPrincipal: 100_000 } as const;

export const note = (content: unknown): Segment => ({ type: "note", content });

export async function insertAgent(store: StateStore, facts: Partial<AgentRow> = {}): Promise<AgentRow> {
  return (await store.insertAgent(makeAgent(facts))).agent;
}

export async function post(store: StateStore, agent: AgentRow, facts: Partial<NewResponse> = {}): Promise<ResponseRow> {
  return (await store.insertResponse(agent.id, makeResponse(facts), ROOMY)).row;
}

/** A response that is claimed under a new reign of a node of its own, and the proof of it. */
export async function claimNew(
  store: StateStore,
): Promise<{ readonly agent: AgentRow; readonly row: ResponseRow; readonly fence: Fence }> {
  const nodeId = `node-${randomUUID()}`;
  const agent = await insertAgent(store, { nodeId });
  await post(store, agent);
  const reign = await store.beginReign(nodeId, null);
  return { agent, ...(await claim(store, agent, reign)) };
}

export async function claim(
  store: StateStore,
  agent: AgentRow,
  reign: number,
): Promise<{ readonly row: ResponseRow; readonly fence: Fence }> {
  const row = await store.claimResponse(agent.id, agent.nodeId, reign);
  if (row === undefined) throw new Error("nothing to claim");
  return { row, fence: { nodeId: agent.nodeId, reign, attempt: row.attempts } };
}

/** Everything about a response. Fails when it is gone. */
export async function readWhole(
  store: StateStore,
  id: string,
): Promise<{ readonly row: ResponseRow; readonly segments: readonly Segment[] }> {
  const found = await store.getResponse(id);
  if (found === undefined) throw new Error(`response ${id} is gone`);
  return found;
}
