import { z } from "zod";
import { AGENT_STATES, type AgentSummary } from "../../../model/agent.ts";
import { showOptionalTime, showTime } from "../../http/times.ts";

const time = z.string();

/** The contract's Agent: exactly these 19 keys, always. */
export const AgentBody = z.object({
  name: z.string(),
  created_by: z.string(),
  state: z.enum(AGENT_STATES),
  description: z.string().nullable(),
  parent_agent_name: z.string().nullable(),
  created_at: time,
  last_activity_at: time.nullable(),
  metadata: z.unknown(),
  tags: z.array(z.string()),
  is_published: z.boolean(),
  published_at: time.nullable(),
  published_by: z.string().nullable(),
  publish_permissions: z.object({ code: z.boolean(), env: z.boolean(), content: z.boolean() }),
  idle_timeout_seconds: z.int(),
  busy_timeout_seconds: z.int(),
  idle_from: time.nullable(),
  busy_from: time.nullable(),
  context_cutoff_at: time.nullable(),
  last_context_length: z.int(),
});

export function viewAgent(agent: AgentSummary): z.infer<typeof AgentBody> {
  return {
    name: agent.name,
    created_by: agent.createdBy,
    state: agent.state,
    description: agent.description,
    parent_agent_name: agent.parentName,
    created_at: showTime(agent.createdAt),
    last_activity_at: showOptionalTime(agent.lastActivityAt),
    metadata: agent.metadata,
    tags: [...agent.tags],
    is_published: agent.published !== null,
    published_at: showOptionalTime(agent.published?.at ?? null),
    published_by: agent.published?.by ?? null,
    publish_permissions: { ...agent.publishPermissions },
    idle_timeout_seconds: agent.idleTimeoutSeconds,
    busy_timeout_seconds: agent.busyTimeoutSeconds,
    idle_from: showOptionalTime(agent.idleFrom),
    busy_from: showOptionalTime(agent.busyFrom),
    context_cutoff_at: showOptionalTime(agent.contextCutoffAt),
    last_context_length: agent.lastContextLength,
  };
}
