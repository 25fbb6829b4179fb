import { setTimeout as sleep } from "node:timers/promises";
import { type PaddockError, toPaddockError } from "../errors/error.ts";
import type { Lease } from "../fleet/leases/lease.ts";
import { backoffMs } from "../lib/backoff.ts";
import { failedOutcome } from "../tools/outcome.ts";
import type { ToolContext, ToolOutcome } from "../tools/tool.ts";
import type { CallSite, PlaceFacts, Tried } from "./place.ts";
import type { CallScope } from "./scope.ts";

/** Less free space than this counts as full. */
const FULL_BYTES = 1024 * 1024;
const BACKOFF = { baseMs: 200, capMs: 5000 };

/** A call in a sandbox, with the host's evidence around each try. */
export class LeasedCall implements CallSite {
  readonly #scope: CallScope;
  readonly #lease: Pick<Lease, "sandbox" | "proxy">;

  constructor(scope: CallScope, lease: Pick<Lease, "sandbox" | "proxy">) {
    this.#scope = scope;
    this.#lease = lease;
  }

  async attempt(): Promise<Tried> {
    const scope = this.#scope;
    const { sandbox, proxy } = this.#lease;
    const peakIsOwn = sandbox.host.resetPeak();
    const before = sandbox.usage();
    const guard = new OutputGuard(scope);
    const timeoutMs = this.#limitAttempt();
    scope.clock.mark("prepare");
    const own = { target: sandbox, deadlineMs: timeoutMs, signal: guard.signal, onOutput: guard.push };
    const outcome = await runTool(scope, { ...scope, ...own });
    scope.clock.mark("run");
    const after = sandbox.usage();
    const diskFull = outcome.ended === "exit" && outcome.exitCode !== 0 && (await this.#isFull());
    const { egress } = proxy.ledger.peek(scope.callId);
    return { outcome, before, after, egress, outputExceeded: guard.exceeded, diskFull, timeoutMs, peakIsOwn };
  }

  async backOff(failed: number): Promise<boolean> {
    const { deadline, signal } = this.#scope;
    const delayMs = backoffMs(failed, BACKOFF);
    if (this.#lease.sandbox.end || delayMs >= deadline.remainingMs()) return false;
    await sleep(delayMs, undefined, { signal }).catch(() => undefined);
    return !signal.aborted;
  }

  async end(): Promise<PlaceFacts> {
    const { callId, clock } = this.#scope;
    const { sandbox, proxy } = this.#lease;
    const changes = await this.#findChanges();
    clock.mark("transfer_out");
    await proxy.settle(callId);
    const { egress, networkMs } = proxy.ledger.close(callId);
    return { sandboxId: sandbox.id, isolation: sandbox.host.isolation, egress, networkMs, changes };
  }

  /** Time for one try: the call's own, but no more than the task has left. */
  #limitAttempt(): number {
    const { call, limits, deadline } = this.#scope;
    return Math.max(1, Math.min(call.timeoutMs ?? limits.callTimeoutMs, deadline.remainingMs()));
  }

  /** What the call changed; undefined when the sandbox cannot tell any more. */
  async #findChanges(): Promise<PlaceFacts["changes"]> {
    const { sandbox } = this.#lease;
    if (sandbox.end) return undefined;
    try {
      return await sandbox.files.diff({ callId: this.#scope.callId });
    } catch {
      return undefined;
    }
  }

  async #isFull(): Promise<boolean> {
    const { sandbox } = this.#lease;
    if (sandbox.end) return false;
    try {
      const space = await sandbox.files.space();
      return Math.min(space.workspaceFree, space.tmpFree) < FULL_BYTES;
    } catch {
      return false;
    }
  }
}

async function runTool({ tool, call }: CallScope, context: ToolContext): Promise<ToolOutcome> {
  try {
    return await tool.run(call.input, context);
  } catch (thrown) {
    return failureOutcome(toPaddockError(thrown), context.signal.aborted);
  }
}

/** A request that the sandbox refused (no such file, path refused) is the call's failure, not the platform's. */
function failureOutcome(error: PaddockError, aborted: boolean): ToolOutcome {
  if (error.code === "internal") throw error;
  const lost = ["supervisor_lost", "sandbox_lost", "sandbox_closed", "protocol_error"].includes(error.code);
  const verdict = error.context["reason"] === "no_space" ? { verdict: "disk" as const } : {};
  const { exitCode = 1, ...failed } = failedOutcome(1, error.message, { error, ...verdict });
  return lost || aborted ? { ...failed, ended: lost ? "lost" : "cancel" } : { ...failed, exitCode };
}

/** Counts output and, when the task asks for it, ends the call that exceeds its limit. */
class OutputGuard {
  readonly #scope: CallScope;
  readonly #controller = new AbortController();
  readonly #bytes = { stdout: 0, stderr: 0 };
  readonly signal: AbortSignal;
  exceeded = false;

  constructor(scope: CallScope) {
    this.#scope = scope;
    this.signal = AbortSignal.any([scope.signal, this.#controller.signal]);
  }

  readonly push = (stream: "stdout" | "stderr", chunk: Buffer): void | Promise<void> => {
    const { task, limits, onOutput } = this.#scope;
    this.#bytes[stream] += chunk.length;
    if (task.on_output === "kill" && this.#bytes[stream] > limits.outputBytes && !this.exceeded) {
      this.exceeded = true;
      this.#controller.abort();
    }
    return onOutput(stream, chunk);
  };
}
