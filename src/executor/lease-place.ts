import type { Fleet, Lease } from "../fleet/fleet.ts";
import type { ToolCallRecord } from "../model/record.ts";
import { LeasedCall } from "./leased-call.ts";
import type { OpenPlace, Place } from "./place.ts";
import type { TaskScope } from "./scope.ts";
import { runToolCall } from "./tool-call.ts";

/** What a door does in the sandbox around the calls, such as copying a folder in and back. */
export interface LeaseHooks {
  /** Before the task's files are written and the first call begins. */
  readonly afterOpen?: (lease: Lease) => Promise<void>;
  /** After the last call, also when it failed. */
  readonly beforeClose?: (lease: Lease, records: readonly ToolCallRecord[]) => Promise<void>;
}

/** A sandbox that is made for the task and closed with it. */
export function makeOwnPlace(fleet: Fleet, hooks: LeaseHooks = {}): Place {
  const open = async (task: TaskScope): Promise<OpenPlace> => {
    const begun = performance.now();
    const lease = await leaseFor(task, fleet);
    const close = async (): Promise<void> => await lease[Symbol.asyncDispose]();
    try {
      const createMs = performance.now() - begun;
      await task.sink.event({ type: "sandbox_ready", sandboxId: lease.sandbox.id, createMs });
      return { ...(await enterLease(task, lease, hooks, begun)), close };
    } catch (error) {
      await close();
      throw error;
    }
  };
  return { open };
}

/** A sandbox that is there already; it is left alive. */
export function makeLeasePlace(lease: Lease, hooks: LeaseHooks = {}): Place {
  return { open: (task) => enterLease(task, lease, hooks, performance.now()) };
}

async function leaseFor({ task, plan, limits, signal, sink }: TaskScope, fleet: Fleet): Promise<Lease> {
  return await fleet.lease({
    nodeType: plan.nodeType,
    limits,
    network: task.network ?? plan.network,
    env: task.env ?? {},
    bare: task.bare ?? plan.bare,
    signal,
    onProgress: (message) => void sink.event({ type: "progress", message }),
  });
}

async function enterLease({ task }: TaskScope, lease: Lease, hooks: LeaseHooks, begun: number): Promise<OpenPlace> {
  const { sandbox } = lease;
  await hooks.afterOpen?.(lease);
  for (const [path, text] of Object.entries(task.files ?? {})) await sandbox.files.write(path, text);
  await sandbox.files.snapshot();
  return {
    leaseMs: performance.now() - begun,
    files: sandbox.files,
    run: async (call) => {
      // The call before took the sandbox with it.
      if (call.index > 0 && sandbox.end) return undefined;
      return await runToolCall(call, new LeasedCall(call, lease));
    },
    finish: async (records) => await hooks.beforeClose?.(lease, records),
  };
}
