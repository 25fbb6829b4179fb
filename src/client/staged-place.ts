import type { OpenPlace } from "../executor/place.ts";
import { runToolCall } from "../executor/tool-call.ts";
import type { RemoteStep } from "./capture.ts";
import { type TaskAgent, tellOutput } from "./ractor/task-agent.ts";
import { StagedCall } from "./staged-call.ts";

/** An agent whose setup code holds all calls word for word. */
export function makeStagedPlace(agent: TaskAgent, steps: readonly RemoteStep[], overheadMs: number): OpenPlace {
  return {
    leaseMs: agent.leaseMs,
    run: async (call) => {
      const step = steps[call.index];
      if (step === undefined) return undefined;
      const { client, name } = agent;
      const site = { client, agent: name, step, account: agent.accountOf(call.index), overheadMs };
      const end = await runToolCall(call, new StagedCall(call, site));
      await tellOutput(call, end.record);
      return end;
    },
    close: () => agent.close(),
  };
}
