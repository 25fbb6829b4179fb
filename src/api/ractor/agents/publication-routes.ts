import { z } from "zod";
import { PaddockError } from "../../../errors/error.ts";
import type { AgentRow } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import { allowEmptyBody, requireJson } from "../../http/bodies.ts";
import type { Server, ServerParts } from "../../http/server-services.ts";
import { canSee, isOwner } from "../request/access-rules.ts";
import { assertHere, findAgent, findOwned } from "../request/find.ts";
import { AGENT } from "../request/paths.ts";
import { AgentPath, PublishedQuery } from "../request/query-schemas.ts";
import { PublishBody, RemixBody } from "./agent-schemas.ts";
import { AgentBody, viewAgent } from "./agent-view.ts";
import { assertMayCreate } from "./agents.ts";
import type { PublishedList } from "./published-list.ts";

const PUBLISHED = "/api/v0/published/agents";
/** What others may copy, as the answer to a publish names it. */
const SHARED = ["content", "code", "env"] as const;
const tags = ["agents"];
const params = AgentPath;
const write = { access: "write" } as const;
const open = { access: "public" } as const;

export function registerSharing(server: Server, parts: ServerParts, published: PublishedList): void {
  const remix = { tags, summary: "Copy an agent", params, body: RemixBody, response: { 200: AgentBody } };
  server.post(`${AGENT}/remix`, { schema: remix, config: write, onRequest: requireJson }, async (request) => {
    const { principal, body } = request;
    const parent = await findAgent(parts, request.params.name);
    const mayHaveEnv = isOwner(parent, principal) || parent.publishPermissions.env;
    const wanted = { code: body.code, env: body.env ?? body.secrets ?? mayHaveEnv };
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
  const publishing = { schema: publish, config: write, onRequest: allowEmptyBody };
  server.post(`${AGENT}/publish`, publishing, async (request, reply) => {
    const agent = await findOwned(parts, request, "You can only publish your own agents");
    const { code = true, env, secrets } = request.body ?? {};
    const permissions = { code, env: env ?? secrets ?? false, content: true };
    reply.header("x-paddock-shared", SHARED.filter((part) => permissions[part]).join(", "));
    return viewAgent(await parts.agents.publish(agent, permissions, request.principal));
  });

  const unpublish = { tags, summary: "End the publication of an agent", params, response: { 200: AgentBody } };
  const options = { schema: unpublish, config: write, onRequest: allowEmptyBody };
  server.post(`${AGENT}/unpublish`, options, async (request) => {
    const agent = await findOwned(parts, request, "You can only unpublish your own agents");
    return viewAgent(await parts.agents.unpublish(agent));
  });
  registerPublished(server, parts, published);
}

function registerPublished(server: Server, parts: ServerParts, published: PublishedList): void {
  const list = {
    tags,
    summary: "List published agents, newest first, without metadata",
    querystring: PublishedQuery,
    response: { 200: z.array(AgentBody) },
  };
  server.get(PUBLISHED, { schema: list, config: open }, async (request, reply) => {
    const page = await published.readPage(request.query);
    reply.type("application/json; charset=utf-8");
    // As it was written for the first who asked.
    return page as unknown as never;
  });

  const get = { tags, summary: "Read a published agent", params, response: { 200: AgentBody } };
  server.get(`${PUBLISHED}/:name`, { schema: get, config: open }, async (request) => {
    const agent = await findAgent(parts, request.params.name);
    if (agent.published === null) throw new PaddockError("not_found", "Agent not found or not published");
    return viewAgent(agent);
  });
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
