import { z } from "zod";
import { noAgent } from "../../../errors/not-found.ts";
import { type AgentRow, SOFT_LIMIT_TOKENS } from "../../../model/agent.ts";
import { allowEmptyBody, requireJson } from "../../http/bodies.ts";
import type { Server, ServerParts } from "../../http/server-services.ts";
import { showOptionalTime } from "../../http/times.ts";
import { findOwned } from "../request/find.ts";
import { AGENT } from "../request/paths.ts";
import { AgentPath } from "../request/query-schemas.ts";
import { UsageBody } from "./agent-schemas.ts";

const tags = ["context"];
const params = AgentPath;
const write = { access: "write" } as const;

const ContextUsage = z.object({
  agent: z.string(),
  soft_limit_tokens: z.int(),
  used_tokens_estimated: z.int(),
  used_percent: z.number(),
  basis: z.string(),
  cutoff_at: z.string().nullable(),
  measured_at: z.string(),
  total_messages_considered: z.int(),
});
const Reported = z.object({ success: z.literal(true), last_context_length: z.int() });

/** No model of ours reads a context; these serve clients that look at it, and workers of their own that report it. */
export function registerContext(server: Server, parts: ServerParts): void {
  const usage = { tags, summary: "Context of an agent", params, response: { 200: ContextUsage } };
  server.get(`${AGENT}/context`, { schema: usage, config: { access: "read" } }, async (request) =>
    viewUsage(await findOwned(parts, request)),
  );

  for (const kind of ["clear", "compact"] as const) {
    const clear = { ...usage, summary: `${kind === "clear" ? "Clear" : "Compact"} an agent's context` };
    const options = { schema: clear, config: write, onRequest: allowEmptyBody };
    server.post(`${AGENT}/context/${kind}`, options, async (request) =>
      viewUsage(await parts.agents.clearContext(await findOwned(parts, request), kind)),
    );
  }

  const report = { tags, summary: "Report a context's length", params, body: UsageBody, response: { 200: Reported } };
  server.post(`${AGENT}/context/usage`, { schema: report, config: write, onRequest: requireJson }, async (request) => {
    const agent = await findOwned(parts, request);
    const updated = await parts.store.updateAgent(agent.id, { lastContextLength: request.body.tokens });
    if (updated === undefined) throw noAgent();
    return { success: true as const, last_context_length: updated.lastContextLength };
  });
}

function viewUsage(agent: AgentRow): z.infer<typeof ContextUsage> {
  return {
    agent: agent.name,
    soft_limit_tokens: SOFT_LIMIT_TOKENS,
    used_tokens_estimated: agent.lastContextLength,
    used_percent: (agent.lastContextLength / SOFT_LIMIT_TOKENS) * 100,
    basis: "ollama_last_context_length",
    cutoff_at: showOptionalTime(agent.contextCutoffAt),
    measured_at: new Date().toISOString().replace("Z", "+00:00"),
    total_messages_considered: 0,
  };
}
