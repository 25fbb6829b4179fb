import { PaddockError } from "../../errors/error.ts";
import { noAgent } from "../../errors/not-found.ts";
import type { AgentRow } from "../../model/agent.ts";
import type { Principal } from "../../model/principal.ts";
import type { SleepRequest } from "../agents.ts";
import type { LiveAgents } from "../awake/live-agents.ts";
import type { SleepTimers } from "../awake/sleep-timers.ts";
import type { AgentServices } from "../core/agent-services.ts";
import { findPresent } from "./agent-details.ts";
import { makePrompt } from "./create-agent.ts";
import { insertResponse } from "./post-response.ts";

export async function sleepAgent(
  core: AgentServices,
  roster: LiveAgents,
  timers: SleepTimers,
  agent: AgentRow,
  { delaySeconds, note }: SleepRequest,
  by: Principal,
): Promise<AgentRow> {
  const present = await findPresent(core, agent);
  if (present.state === "slept") throw alreadySleeping();
  const order = { reason: "user", by: by.name, delaySeconds, note, cancels: true } as const;
  const sleep = async (): Promise<AgentRow | undefined> => await roster.get(agent).sleep(order);
  if (delaySeconds > 0) {
    const report = (error: unknown): void => core.telemetry.problem("agents.sleep", error);
    timers.set(agent.id, delaySeconds * 1000, () => void sleep().catch(report));
    return present;
  }
  timers.cancel(agent.id);
  const asleep = await sleep();
  if (asleep === undefined) throw alreadySleeping();
  return asleep;
}

export async function wakeAgent(
  core: AgentServices,
  roster: LiveAgents,
  timers: SleepTimers,
  agent: AgentRow,
  prompt: string | null,
  by: Principal,
): Promise<AgentRow> {
  const live = roster.get(agent);
  if (live.isGone) throw noAgent();
  if (live.isAwake) throw cannotWake(await findPresent(core, agent));
  timers.cancel(agent.id);
  return await live.wake("user_wake", by.name, async (hasWoken) => {
    if (!hasWoken) throw cannotWake(await findPresent(core, agent));
    const { agent: woken } = live;
    if (prompt !== null) {
      const response = makePrompt(prompt, by.name);
      await insertResponse(core, roster, woken, { response, refuseBusy: false, isOwners: true });
    }
    return woken;
  });
}

const cannotWake = ({ state }: AgentRow): PaddockError =>
  new PaddockError("wrong_state", `Cannot wake agent in ${state} state - only sleeping agents can be woken`);
const alreadySleeping = (): PaddockError => new PaddockError("wrong_state", "Agent is already sleeping");
