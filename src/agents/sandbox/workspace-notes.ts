import { formatTime } from "../../lib/timestamp.ts";
import type { SetupReport } from "../../model/agent.ts";
import type { Segment } from "../../model/response.ts";
import type { AgentSandbox } from "./agent-sandbox.ts";

export const makeNote = (level: "info" | "warning", text: string): Segment => ({
  type: "note",
  level,
  text,
  at: formatTime(),
});

/**
 * What each task is told of a workspace that lacks something and of a setup that did not succeed; it runs all the same.
 */
export function describePlace({
  setup,
  lacks,
  isReplaced,
}: Pick<AgentSandbox, "setup" | "lacks" | "isReplaced">): readonly Segment[] {
  const replaced = isReplaced
    ? [makeNote("warning", "The workspace of earlier tasks was lost on the server: this one began empty.")]
    : [];
  const incomplete =
    lacks === undefined ? [] : [makeNote("warning", `The workspace could not be copied: ${lacks.message}`)];
  return [...replaced, ...incomplete, ...describeSetup(setup)];
}

function describeSetup(setup: SetupReport | null): readonly Segment[] {
  if (setup === null || setup.status === "ok") return [];
  const { status, exit_code: code, signal } = setup;
  const how = signal !== undefined ? `signal ${signal}` : `exit status ${code ?? "unknown"}`;
  const what = status === "timeout" ? "ran out of time and was killed" : `failed with ${how}`;
  return [makeNote("warning", `The setup code ${what}. The agent's details show its output.`)];
}
