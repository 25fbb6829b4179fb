import { z } from "zod";
import { PaddockError } from "../../../errors/error.ts";
import type { AgentRow, AgentSummary } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import { allowEmptyBody, requireJson } from "../../http/bodies.ts";
import type { Server, ServerParts } from "../../http/server-parts.ts";
import { canSee, isOwner } from "../request/access-rules.ts";
import { assertHere, findAgent, findOwned } from "../request/find.ts";
import { AGENT } from "../request/paths.ts";
import { AgentPath } from "../request/query-schemas.ts";
import { PublishBody, RemixBody } from "./agent-schemas.ts";
import { AgentBody, viewAgent } from "./agent-view.ts";
import { assertMayCreate } from "./agents.ts";

const PUBLISHED = "/api/v0/published/agents";
/** The list of published agents is a bare array without pages; this many of the newest are in it. */
const MAX_PUBLISHED = 1000;
const PUBLISHED_AT_ONCE = 50;
const MAX_PUBLISHED_LENGTH = 4 * 1024 * 1024;
const tags = ["agents"];
const params = AgentPath;
const write = { access: "write" } as const;
const open = { access: "public" } as const;

export function registerSharing(server: Server, parts: ServerParts): void {
  const remix = { tags, summary: "Copy an agent", params, body: RemixBody, response: { 200: AgentBody } };
  server.post(`${AGENT}/remix`, { schema: remix, config: write, onRequest: requireJson }, async (request) => {
    const { principal, body } = request;
    const parent = await findAgent(parts, request.params.name);
    const wanted = { code: body.code, env: body.env ?? body.secrets ?? true };
    assertMayRemix(parent, principal, wanted);
    assertMayCreate(principal, body.name);
    await assertHere(parts, parent);
    const { name, metadata, prompt } = body;
    const copy = { name, ...wanted, prompt: prompt ?? null, ...(metadata === undefined ? {} : { metadata }) };
    return viewAgent(await parts.agents.remix(parent, copy, principal));
  });

  const publish = {
    tags,
    summary: "Publish an agent's content",
    params,
    body: PublishBody,
    response: { 200: AgentBody },
  };
  server.post(`${AGENT}/publish`, { schema: publish, config: write, onRequest: allowEmptyBody }, async (request) => {
    const agent = await findOwned(parts, request, "You can only publish your own agents");
    const { code = true, env, secrets } = request.body ?? {};
    const permissions = { code, env: env ?? secrets ?? true, content: true };
    return viewAgent(await parts.agents.publish(agent, permissions, request.principal));
  });

  const unpublish = { tags, summary: "End the publication of an agent", params, response: { 200: AgentBody } };
  const options = { schema: unpublish, config: write, onRequest: allowEmptyBody };
  server.post(`${AGENT}/unpublish`, options, async (request) => {
    const agent = await findOwned(parts, request, "You can only unpublish your own agents");
    return viewAgent(await parts.agents.unpublish(agent));
  });
  registerPublished(server, parts);
}

function registerPublished(server: Server, parts: ServerParts): void {
  const list = { tags, summary: "List published agents", response: { 200: z.array(AgentBody) } };
  server.get(PUBLISHED, { schema: list, config: open }, async () => (await listPublished(parts)).map(viewAgent));

  const get = { tags, summary: "Read a published agent", params, response: { 200: AgentBody } };
  server.get(`${PUBLISHED}/:name`, { schema: get, config: open }, async (request) => {
    const agent = await findAgent(parts, request.params.name);
    if (agent.published === null) throw new PaddockError("not_found", "Agent not found or not published");
    return viewAgent(agent);
  });
}

/** The newest, as far as strangers get an answer that costs little: up to the limit in number and in length. */
async function listPublished({ store }: ServerParts): Promise<readonly AgentSummary[]> {
  const found: AgentSummary[] = [];
  let length = 0;
  for (let offset = 0; offset < MAX_PUBLISHED; offset += PUBLISHED_AT_ONCE) {
    const { items } = await store.listAgents({ publishedOnly: true, limit: PUBLISHED_AT_ONCE, offset });
    for (const agent of items) {
      length += JSON.stringify(agent).length;
      if (length > MAX_PUBLISHED_LENGTH) return found;
      found.push(agent);
    }
    if (items.length < PUBLISHED_AT_ONCE) break;
  }
  return found;
}

function assertMayRemix(
  parent: AgentRow,
  principal: Principal,
  wanted: { readonly code: boolean; readonly env: boolean },
): void {
  const refuse = (sentence: string): never => {
    throw new PaddockError("forbidden", sentence);
  };
  if (isOwner(parent, principal)) return;
  if (!canSee(parent, principal)) refuse("You can only remix your own agents or published agents");
  const { code, env } = parent.publishPermissions;
  if (wanted.code && !code) refuse("Code remix not permitted for this published agent");
  if (wanted.env && !env) refuse("Environment remix not permitted for this published agent");
}
