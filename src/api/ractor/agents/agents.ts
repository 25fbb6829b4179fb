import type { NewAgent } from "../../../agents/agents.ts";
import { fitLimits, readSettings } from "../../../agents/settings.ts";
import { PaddockError } from "../../../errors/error.ts";
import { noAgent } from "../../../errors/not-found.ts";
import type { Limits } from "../../../model/limits.ts";
import type { Principal } from "../../../model/principal.ts";
import type { AgentPatch } from "../../../store/state-store/agents.ts";
import { allowEmptyBody, requireJson } from "../../http/bodies.ts";
import type { Server, ServerParts } from "../../http/server-services.ts";
import { ACCESS_DENIED, mayName } from "../request/access-rules.ts";
import { findOwned, findVisible } from "../request/find.ts";
import { readIdempotencyKey } from "../request/idempotency.ts";
import { AGENT, AGENTS } from "../request/paths.ts";
import { AgentListQuery, AgentPath } from "../request/query-schemas.ts";
import { AgentPage, listAgents } from "./agent-list.ts";
import { CreateAgentBody, UpdateAgentBody } from "./agent-schemas.ts";
import { AgentBody, viewAgent } from "./agent-view.ts";

const IDLE_SECONDS = 300;
const BUSY_SECONDS = 3600;
const tags = ["agents"];
const write = { access: "write" } as const;
const read = { access: "read" } as const;
const checksAgents = true;

export function registerAgents(server: Server, parts: ServerParts): void {
  const list = {
    tags,
    summary: "List agents, newest first",
    querystring: AgentListQuery,
    response: { 200: AgentPage },
  };
  server.get(AGENTS, { schema: list, config: { ...read, checksAgents } }, (request) =>
    listAgents(parts, request.principal, request.query),
  );

  const create = { tags, summary: "Create an agent", body: CreateAgentBody, response: { 200: AgentBody } };
  server.post(
    AGENTS,
    { schema: create, config: { ...write, checksAgents }, onRequest: requireJson },
    async (request) => {
      assertMayCreate(request.principal, request.body.name);
      const key = readIdempotencyKey(request, ["agent", request.body]);
      return viewAgent(
        await parts.agents.create(compileAgent(request.body, parts.config.maxLimits), request.principal, key),
      );
    },
  );

  const get = { tags, summary: "Read an agent", params: AgentPath, response: { 200: AgentBody } };
  server.get(AGENT, { schema: get, config: read }, async (request) => viewAgent(await findVisible(parts, request)));

  const put = { ...get, summary: "Change an agent", body: UpdateAgentBody };
  server.put(AGENT, { schema: put, config: write, onRequest: requireJson }, async (request) => {
    const agent = await findOwned(parts, request, "You can only update your own agents");
    const updated = await parts.store.updateAgent(agent.id, compilePatch(request.body));
    if (updated === undefined) throw noAgent();
    return viewAgent(updated);
  });

  const remove = { tags, summary: "Delete an agent with its workspace and responses", params: AgentPath };
  server.delete(AGENT, { schema: remove, config: write, onRequest: allowEmptyBody }, async (request, reply) => {
    await parts.agents.remove(await findOwned(parts, request));
    return await reply.send();
  });
}

/** A token that is limited to some agents makes no others. */
export function assertMayCreate(principal: Principal, name: string): void {
  if (!mayName(principal, name)) throw new PaddockError("forbidden", ACCESS_DENIED);
}

function compileAgent(body: CreateAgentBody, maxLimits: Limits): NewAgent {
  const { name, setup, instructions } = body;
  const given = { name, setup: setup ?? null, instructions: instructions ?? null };
  const metadata = body.metadata === undefined ? {} : body.metadata;
  const labels = [...new Set(body.tags ?? [])];
  const env = body.env ?? body.secrets ?? {};
  const settings = readSettings({ ...given, metadata, tags: labels, env });
  return {
    name,
    metadata,
    tags: labels,
    description: body.description ?? null,
    idleTimeoutSeconds: body.idle_timeout_seconds ?? IDLE_SECONDS,
    busyTimeoutSeconds: body.busy_timeout_seconds ?? BUSY_SECONDS,
    settings: { ...settings, limits: fitLimits(settings.limits, maxLimits) },
    prompt: body.prompt ?? null,
  };
}

/** Null and absent fields stay as they are: nothing can be cleared. */
function compilePatch(body: UpdateAgentBody): AgentPatch {
  const { metadata, description, idle_timeout_seconds, busy_timeout_seconds } = body;
  const patch: AgentPatch = {
    ...(metadata == null ? {} : { metadata }),
    ...(description == null ? {} : { description }),
    ...(body.tags == null ? {} : { tags: [...new Set(body.tags)] }),
    ...(idle_timeout_seconds == null ? {} : { idleTimeoutSeconds: idle_timeout_seconds }),
    ...(busy_timeout_seconds == null ? {} : { busyTimeoutSeconds: busy_timeout_seconds }),
  };
  if (Object.keys(patch).length === 0) throw new PaddockError("invalid_request", "No fields to update");
  return patch;
}
