import { noAgent } from "../../errors/not-found.ts";
import { formatTime } from "../../lib/timestamp.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { Segment } from "../../model/response.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { writeMarker } from "../core/markers.ts";

/** There is no model here to sum up with: compacting clears, and says so. */
export async function clearContext(
  { store }: AgentServices,
  agent: AgentRow,
  kind: "clear" | "compact",
): Promise<AgentRow> {
  const now = Date.now();
  const cleared = await store.updateAgent(agent.id, { contextCutoffAt: now, lastContextLength: 0 });
  if (cleared === undefined) throw noAgent();
  await writeMarker(store, cleared, ...describeCut(kind, formatTime(now)));
  return cleared;
}

function describeCut(kind: "clear" | "compact", cutoff: string): readonly Segment[] {
  if (kind === "clear") return [{ type: "context_cleared", cutoff_at: cutoff }];
  const content = "No model is configured that could sum up the context, so it was cleared.";
  return [
    { type: "context_compacted", cutoff_at: cutoff },
    { type: "compact_summary", content },
  ];
}
