import { randomUUID } from "node:crypto";
import { Stopwatch } from "../../lib/stopwatch.ts";
import type { AgentRow, MissingCopy } from "../../model/agent.ts";
import { makeAgentId, makeTaskId, makeVolumeId } from "../../model/ids.ts";
import type { Principal } from "../../model/principal.ts";
import type { IdempotencyKey, NewResponse } from "../../store/state-store/responses.ts";
import type { NewAgent, RemixRequest } from "../agents.ts";
import type { LiveAgent } from "../awake/live-agent.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import { type AgentServices, recordChange } from "../core/agent-services.ts";
import { mayHaveWritten, retryWrite } from "../core/retry-write.ts";
import { MAX_STRANGER_COPIES } from "../core/stranger-copies.ts";

type NewAgentRow = Omit<AgentRow, "version">;

/**
 * The row first: whatever happens then, the agent can be seen, and its volume has an owner. Throws `name_taken`,
 * `idempotency_conflict`.
 */
export async function createAgent(
  core: AgentServices,
  roster: LiveAgents,
  request: NewAgent,
  by: Principal,
  key: IdempotencyKey | undefined,
): Promise<AgentRow> {
  return await make(core, roster, makeRow(core, request, by, null), { reason: "create", prompt: request.prompt, key });
}

/** The copy is the first thing that happens in the new workspace. */
export async function remixAgent(
  core: AgentServices,
  roster: LiveAgents,
  parent: AgentRow,
  request: RemixRequest,
  by: Principal,
): Promise<AgentRow> {
  const { settings } = parent;
  const wanted: NewAgent = {
    name: request.name,
    description: parent.description,
    metadata: request.metadata ?? parent.metadata,
    tags: parent.tags,
    idleTimeoutSeconds: parent.idleTimeoutSeconds,
    busyTimeoutSeconds: parent.busyTimeoutSeconds,
    settings: {
      ...settings,
      env: request.env ? settings.env : {},
      setup: request.code ? settings.setup : undefined,
      instructions: request.code ? settings.instructions : undefined,
    },
    prompt: request.prompt,
  };
  const missingCopy: MissingCopy = {
    ...{ parentId: parent.id, code: request.code, env: request.env },
    needsPublication: by.name !== parent.createdBy && parent.published !== null,
  };
  const row = { ...makeRow(core, wanted, by, parent.name), missingCopy };
  return await make(core, roster, row, { reason: "remix", prompt: request.prompt, key: undefined });
}

interface Making {
  readonly reason: "create" | "remix";
  readonly prompt: string | null;
  readonly key: IdempotencyKey | undefined;
}

/** The agent may be removed as soon as its row can be seen; then it does not begin. */
async function make(
  core: AgentServices,
  roster: LiveAgents,
  row: NewAgentRow,
  { reason, prompt, key }: Making,
): Promise<AgentRow> {
  const live = roster.expect({ ...row, version: 0 });
  try {
    const { agent, isNew } = await insert(core, row, prompt, key);
    if (isNew) return begin(core, live, agent, reason);
    roster.forget(live);
    // The first request's answer was lost, and this process with it knows nothing of the agent.
    const isBegun = agent.state !== "init" || agent.nodeId !== core.nodeId || roster.find(agent.id) !== undefined;
    return isBegun ? agent : begin(core, roster.expect(agent), agent, reason);
  } catch (error) {
    if (mayHaveWritten(error)) void beginIfMade(core, roster, live, reason);
    else roster.forget(live);
    throw error;
  }
}

function begin(core: AgentServices, live: LiveAgent, agent: AgentRow, reason: Making["reason"]): AgentRow {
  live.refresh(agent);
  recordChange(core, agent.name, { from: "none", to: "init", reason, by: agent.createdBy, watch: new Stopwatch() });
  live.poke();
  return agent;
}

/** Whoever asked was told of a failure, but the agent may be there, and nobody else would begin it. */
async function beginIfMade(
  core: AgentServices,
  roster: LiveAgents,
  live: LiveAgent,
  reason: Making["reason"],
): Promise<void> {
  const look = (): Promise<AgentRow | undefined> => core.store.getAgent(live.agent.id);
  const made = await retryWrite(core, look, live.gone).catch(() => undefined);
  if (made === undefined) roster.forget(live);
  else begin(core, live, made, reason);
}

async function insert(
  { store, config }: AgentServices,
  row: NewAgentRow,
  prompt: string | null,
  key: IdempotencyKey | undefined,
): Promise<{ readonly agent: AgentRow; readonly isNew: boolean }> {
  const first = prompt === null ? {} : { first: makePrompt(prompt, row.createdBy) };
  return await store.insertAgent(row, {
    ...first,
    maxOfPrincipal: config.service.maxAgentsPerPrincipal,
    maxWorkspaceBytes: config.service.maxWorkspaceBytesPerPrincipal,
    ...(row.missingCopy?.needsPublication === true ? { maxCopiesOfParent: MAX_STRANGER_COPIES } : {}),
    ...(key === undefined ? {} : { key }),
  });
}

/** A prompt is a response like any other. */
export function makePrompt(prompt: string, createdBy: string): NewResponse {
  return {
    id: randomUUID(),
    taskId: makeTaskId(),
    createdBy,
    input: { content: [{ type: "text", content: prompt }] },
    options: { idempotent: false },
    createdAt: Date.now(),
  };
}

function makeRow({ nodeId }: AgentServices, request: NewAgent, by: Principal, parentName: string | null): NewAgentRow {
  const now = Date.now();
  const { prompt: _prompt, ...given } = request;
  return {
    ...given,
    id: makeAgentId(),
    volumeId: makeVolumeId(),
    nodeId,
    createdBy: by.name,
    state: "init",
    parentName,
    createdAt: now,
    lastActivityAt: null,
    idleFrom: null,
    busyFrom: null,
    contextCutoffAt: null,
    lastContextLength: 0,
    wokeAt: now,
    runtimeMs: 0,
    published: null,
    publicationRevision: null,
    publishPermissions: { code: true, env: true, content: true },
    setupReport: null,
    missingCopy: null,
  };
}
