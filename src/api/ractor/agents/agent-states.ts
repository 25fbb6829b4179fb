import { z } from "zod";
import { PaddockError } from "../../../errors/error.ts";
import type { AgentRow, AgentState } from "../../../model/agent.ts";
import type { Principal } from "../../../model/principal.ts";
import { allowEmptyBody, requireJson } from "../../http/bodies.ts";
import type { Server, ServerParts } from "../../http/server-services.ts";
import { type AgentAsked, assertHere, findOwned, findVisible } from "../request/find.ts";
import { AGENT } from "../request/paths.ts";
import { AgentPath } from "../request/query-schemas.ts";
import { SleepBody, StateBody, WakeBody } from "./agent-schemas.ts";
import { AgentBody, viewAgent } from "./agent-view.ts";

const LEAST_DELAY_SECONDS = 5;
const tags = ["agents"];
const params = AgentPath;
const write = { access: "write" } as const;
const read = { access: "read" } as const;

const Changed = z.object({ success: z.literal(true), state: z.string() });
const Timed = z.object({ success: z.literal(true), state: z.string(), timeout_status: z.enum(["paused", "active"]) });
const Cancelled = z.object({ status: z.literal("ok"), agent: z.string(), cancelled: z.boolean() });
const Runtime = z.object({
  agent_name: z.string(),
  total_runtime_seconds: z.int(),
  current_session_seconds: z.int(),
});
const Details = z.object({
  name: z.string(),
  node_type: z.string(),
  network: z.unknown(),
  bare: z.boolean().nullable(),
  limits: z.unknown(),
  setup: z.unknown(),
  queue: z.object({ pending: z.int(), processing: z.int() }),
  sandbox_id: z.string().nullable(),
  sleeps_at: z.string().nullable(),
});

export function registerAgentStates(server: Server, parts: ServerParts): void {
  registerReports(server, parts);
  const sleep = { tags, summary: "Put an agent to sleep", params, body: SleepBody, response: { 200: AgentBody } };
  server.post(`${AGENT}/sleep`, { schema: sleep, config: write, onRequest: allowEmptyBody }, async (request) => {
    const agent = await findOwned(parts, request, "Can only sleep your own agents");
    const { delay_seconds, note } = request.body ?? {};
    const delaySeconds = Math.max(LEAST_DELAY_SECONDS, delay_seconds ?? 0);
    const asked = { delaySeconds, ...(note == null ? {} : { note }) };
    return viewAgent(await parts.agents.sleep(agent, asked, request.principal));
  });

  const wake = { ...sleep, summary: "Wake a sleeping agent", body: WakeBody };
  server.post(`${AGENT}/wake`, { schema: wake, config: write, onRequest: allowEmptyBody }, async (request) => {
    const agent = await findOwned(parts, request, "You can only wake your own agents.");
    return viewAgent(await parts.agents.wake(agent, request.body?.prompt ?? null, request.principal));
  });

  const cancel = { tags, summary: "Cancel what an agent does", params, response: { 200: Cancelled } };
  server.post(`${AGENT}/cancel`, { schema: cancel, config: write, onRequest: allowEmptyBody }, async (request) => {
    const agent = await findOwned(parts, request, "You can only cancel your own agents");
    const cancelled = await parts.agents.cancel(agent);
    return { status: "ok" as const, agent: agent.name, cancelled };
  });
}

function registerReports(server: Server, parts: ServerParts): void {
  const state = { tags, summary: "Set an agent's state", params, body: StateBody, response: { 200: Changed } };
  server.put(`${AGENT}/state`, { schema: state, config: write, onRequest: requireJson }, async (request) => {
    const agent = await findCreated(parts, request);
    const now = await moveTo(parts, agent, request.body.state, request.principal);
    return { success: true as const, state: now };
  });

  for (const wanted of ["busy", "idle"] as const) {
    const report = { tags, summary: `Report an agent as ${wanted}`, params, response: { 200: Timed } };
    const options = { schema: report, config: write, onRequest: allowEmptyBody };
    server.post(`${AGENT}/${wanted}`, options, async (request) => {
      const now = await moveTo(parts, await findOwned(parts, request), wanted, request.principal);
      return {
        success: true as const,
        state: now,
        timeout_status: now === "busy" ? ("paused" as const) : ("active" as const),
      };
    });
  }

  const runtime = { tags, summary: "Time with a sandbox", params, response: { 200: Runtime } };
  server.get(`${AGENT}/runtime`, { schema: runtime, config: read }, async (request) => {
    const agent = await findVisible(parts, request);
    const { totalSeconds, currentSeconds } = await parts.agents.runtime(agent);
    return {
      agent_name: agent.name,
      total_runtime_seconds: Math.floor(totalSeconds),
      current_session_seconds: Math.floor(currentSeconds),
    };
  });

  const details = { tags, summary: "What the contract's fields leave out", params, response: { 200: Details } };
  server.get(`${AGENT}/details`, { schema: details, config: read }, async (request) => {
    const agent = await findOwned(parts, request);
    const { nodeType, sandboxId, sleepsAt, ...rest } = await parts.agents.details(agent);
    return { name: agent.name, node_type: nodeType, ...rest, sandbox_id: sandboxId, sleeps_at: sleepsAt };
  });
}

/** For the one route that is for whoever made the agent and for nobody else, administrators included. */
async function findCreated(parts: ServerParts, request: AgentAsked): Promise<AgentRow> {
  const agent = await findVisible(parts, request);
  if (agent.createdBy !== request.principal.name)
    throw new PaddockError("not_found", "Agent not found or access denied");
  await assertHere(parts, agent);
  return agent;
}

/**
 * States follow from work and sandboxes, and no report makes them untrue: `idle` does not take while work waits, and
 * only sleeping and waking change whether there is a sandbox. Returns the state as it is then.
 */
async function moveTo(parts: ServerParts, agent: AgentRow, wanted: AgentState, by: Principal): Promise<AgentState> {
  const { agents, store } = parts;
  const now = Date.now();
  switch (wanted) {
    case "slept":
      if (agent.state !== "slept") await agents.sleep(agent, { delaySeconds: 0 }, by);
      return "slept";
    case "init":
      return agent.state === "slept" ? (await agents.wake(agent, null, by)).state : agent.state;
    case "idle":
      return asAwake(await store.settleAgent(agent.id, now));
    case "busy": {
      const patch = { state: wanted, busyFrom: agent.busyFrom ?? now, idleFrom: null, lastActivityAt: now };
      return asAwake(await store.updateAgent(agent.id, patch, { states: ["init", "idle", "busy"] }));
    }
  }
}

function asAwake(agent: AgentRow | undefined): AgentState {
  if (agent === undefined || agent.state === "slept") throw new PaddockError("agent_sleeping", "Agent is sleeping");
  return agent.state;
}
