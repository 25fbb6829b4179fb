import { z } from "zod";
import type { AgentSummary } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import type { AgentQuery } from "../../../store/state-store/agents.ts";
import type { ServerParts } from "../../http/server-services.ts";
import { isAdmin, isOwner } from "../request/access-rules.ts";
import type { AgentListQuery } from "../request/query-schemas.ts";
import { AgentBody, viewAgent } from "./agent-view.ts";

const DEFAULT_LIMIT = 30;
const MAX_LIMIT = 100;
/** Agents after so much of a page come without their metadata: with it, a page would be several times as long. */
const MAX_LENGTH = 3 * 1024 * 1024;

export const AgentPage = z.object({
  items: z.array(AgentBody),
  total: z.int(),
  limit: z.int(),
  offset: z.int(),
  page: z.int(),
  pages: z.int(),
});

/** A page of the caller's own agents; administrators see all, and nobody sees what others have published here. */
export async function listAgents(
  parts: ServerParts,
  principal: Principal,
  query: AgentListQuery,
): Promise<z.infer<typeof AgentPage>> {
  const limit = Math.min(MAX_LIMIT, Math.max(1, query.limit ?? DEFAULT_LIMIT));
  const asked = query.offset ?? (Math.max(1, query.page ?? 1) - 1) * limit;
  const offset = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, asked));
  const filter = { ...compileFilter(query, principal), limit, offset };
  const { items, total } =
    principal.agents === undefined
      ? await parts.store.listAgents(filter)
      : await listNamed(parts, principal, principal.agents, filter);
  const pages = Math.max(1, Math.ceil(total / limit));
  return { items: fitItems(items.map(viewAgent)), total, limit, offset, page: Math.floor(offset / limit) + 1, pages };
}

function fitItems(items: readonly z.infer<typeof AgentBody>[]): z.infer<typeof AgentBody>[] {
  let length = 0;
  return items.map((item) => {
    length += JSON.stringify(item).length;
    return length > MAX_LENGTH ? { ...item, metadata: null } : item;
  });
}

function compileFilter({ q, tags, state }: AgentListQuery, principal: Principal): Omit<AgentQuery, "limit" | "offset"> {
  const wanted = (tags ?? "").split(",").map((tag) => tag.trim().toLowerCase());
  const given = wanted.filter((tag) => tag !== "");
  return {
    ...(isAdmin(principal) ? {} : { createdBy: principal.name }),
    ...(q === undefined || q === "" ? {} : { text: q }),
    ...(given.length === 0 ? {} : { tags: given }),
    ...(state === undefined || state === "" ? {} : { state }),
  };
}

/** A token limited to some agents names all that can be listed. */
async function listNamed(
  { store }: ServerParts,
  principal: Principal,
  names: readonly string[],
  { text, tags = [], state, limit, offset }: AgentQuery,
): Promise<{ items: readonly AgentSummary[]; total: number }> {
  const found = await Promise.all([...new Set(names)].map((name) => store.findAgent(name)));
  const part = text?.toLowerCase() ?? "";
  const known = found.filter((agent) => agent !== undefined);
  const items = known.filter(
    (agent) =>
      isOwner(agent, principal) &&
      [agent.name, agent.description ?? ""].some((field) => field.toLowerCase().includes(part)) &&
      tags.every((tag) => agent.tags.includes(tag)) &&
      (state === undefined || agent.state === state),
  );
  items.sort((a, b) => b.createdAt - a.createdAt);
  return { items: items.slice(offset, offset + limit), total: items.length };
}
