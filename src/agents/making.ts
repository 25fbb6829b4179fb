import { randomUUID } from "node:crypto";
import type { AgentRow } from "../model/agent.ts";
import { makeAgentId, makeTaskId, makeVolumeId } from "../model/ids.ts";
import type { Principal } from "../model/principal.ts";
import type { IdempotencyKey, NewResponse } from "../store/state-store.ts";
import type { NewAgent, RemixRequest } from "./agents.ts";
import { copyWorkspace } from "./copy.ts";
import { type Core, recordChange } from "./parts.ts";
import type { Roster } from "./roster.ts";
import { openPorter, readWorkspace } from "./workspace-access.ts";

/** The row first: whatever happens then, the agent can be seen, and its volume has an owner. Throws `name_taken`, `idempotency_conflict`. */
export async function createAgent(
  core: Core,
  roster: Roster,
  request: NewAgent,
  by: Principal,
  key: IdempotencyKey | undefined,
): Promise<AgentRow> {
  const { agent, isNew } = await insert(core, makeRow(core, request, by, null), request.prompt, key);
  if (isNew) begin(core, roster, agent, "create");
  return agent;
}

/** The copy is the first thing that happens in the new workspace. */
export async function remixAgent(
  core: Core,
  roster: Roster,
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
  const { agent } = await insert(core, makeRow(core, wanted, by, parent.name), request.prompt, undefined);
  begin(core, roster, agent, "remix", async (signal) => {
    await using porter = await openPorter(core, roster, agent, false, signal);
    await readWorkspace(core, roster, parent, signal, (files) => copyWorkspace(files, porter.sandbox.files, request));
  });
  return agent;
}

function begin(
  core: Core,
  roster: Roster,
  agent: AgentRow,
  reason: string,
  prepare?: (signal: AbortSignal) => Promise<void>,
): void {
  recordChange(core, agent.name, { from: "none", to: "init", reason, by: agent.createdBy, startedAt: Date.now() });
  roster.begin(agent, prepare);
}

async function insert(
  { store, config }: Core,
  row: Omit<AgentRow, "version">,
  prompt: string | null,
  key: IdempotencyKey | undefined,
): Promise<{ readonly agent: AgentRow; readonly isNew: boolean }> {
  const first = prompt === null ? {} : { first: makePrompt(prompt, row.createdBy) };
  return await store.insertAgent(row, {
    ...first,
    maxOfPrincipal: config.service.maxAgentsPerPrincipal,
    maxWorkspaceBytes: config.service.maxWorkspaceBytesPerPrincipal,
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

function makeRow(
  { nodeId }: Core,
  request: NewAgent,
  by: Principal,
  parentName: string | null,
): Omit<AgentRow, "version"> {
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
    publishPermissions: { code: true, env: true, content: true },
    setupReport: null,
  };
}
