import { PaddockError } from "../errors/error.ts";
import { runToolCall } from "../executor/tool-call.ts";
import type { Lease } from "../fleet/fleet.ts";
import { makeTaskId } from "../model/ids.ts";
import { findTool } from "../tools/registry.ts";

const REMAINING_MS = 60_000;

/** Milliseconds of one recorded tool call, from the plan to its closed record (workspace diff included). Throws when it fails. */
export async function timeCall(
  lease: Lease,
  toolName: string,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<number> {
  const tool = findTool(toolName);
  if (tool === undefined) throw new PaddockError("internal", `no tool ${toolName}`);
  const begun = performance.now();
  const { record } = await runToolCall({
    taskId: makeTaskId(),
    nodeType: lease.nodeType,
    limits: lease.limits,
    sandbox: lease.sandbox,
    proxy: lease.proxy,
    tool,
    call: { tool: toolName, input },
    remainingMs: REMAINING_MS,
    signal,
    killOnOutput: false,
    leaseMs: 0,
    onOutput: () => undefined,
    onStart: () => undefined,
  });
  const elapsedMs = performance.now() - begun;
  if (record.success) return elapsedMs;
  throw new Error(`${toolName} ended ${record.verdict}: ${record.error?.message ?? record.stderr.text.slice(-500)}`);
}
