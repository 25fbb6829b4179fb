import type { WorkspaceSource } from "../../drivers/driver.ts";
import { type Owe, removeOrOwe } from "../../lib/owe.ts";
import type { Limits } from "../../model/limits.ts";
import type { NodeType } from "../../model/node-type.ts";
import type { EgressProxy } from "../../network/proxy/proxy.ts";
import type { Sandbox } from "../../sandbox/sandbox.ts";
import type { Template } from "../environments/environments.ts";
import { watchWorkspaceSize } from "./workspace-size.ts";

export { isWorkspaceInUse } from "../../drivers/driver.ts";

/** Lets a sandbox outlive this process, for another one that adopts it. */
export interface Survival {
  /** How long the sandbox waits without an owner before it is removed. */
  readonly graceMs: number;
  /**
   * Without an owner it is removed this long after it was made, whatever is left of its grace. Default: no such limit.
   */
  readonly lifetimeMs?: number;
}

export interface LeaseRequest {
  readonly nodeType: NodeType;
  readonly limits: Limits;
  /** Egress policy as written (docs/network.md). */
  readonly network: string | readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Start from the bare node instead of the type's template. */
  readonly bare: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (message: string) => void;
  readonly workspace?: WorkspaceSource;
  /** Where the sandbox sees its workspace. Default: `/workspace`. */
  readonly workspacePath?: string;
  /** Default: the sandbox ends with this process. `unsupported` where the driver's sandboxes always do. */
  readonly survive?: Survival | undefined;
  /** Refuse with `template_missing` or `image_missing` instead of building a template or an image. */
  readonly buildTemplates?: boolean;
}

/** A sandbox in use, with the account of its network. */
export interface Lease extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly proxy: EgressProxy;
  readonly nodeType: NodeType;
  readonly limits: Limits;
  readonly template: Template | undefined;
  /**
   * Ends the sandbox and returns when nothing of it is left. Throws why it cannot be removed now; the fleet's sweeps
   * try again. Disposing (`await using`) does the same but never throws, so that a result in hand is not lost: what
   * failed stands in the report of the sweeps.
   */
  close(options?: { readonly keepWorkspace?: boolean }): Promise<void>;
}

/** A sandbox, made or adopted. */
export type Leased = Omit<Lease, "close" | typeof Symbol.asyncDispose>;

export interface LeaseHooks {
  readonly closing: () => void;
  readonly owe: Owe;
}

export function makeLease(leased: Leased, hooks: LeaseHooks): Lease {
  const { sandbox, proxy, limits } = leased;
  const stopWatching = watchWorkspaceSize(sandbox, limits.workspaceBytes);
  let closing: Promise<void> | undefined;
  const close = async (options: { readonly keepWorkspace?: boolean } = {}): Promise<void> => {
    stopWatching();
    hooks.closing();
    try {
      await removeOrOwe(hooks.owe, sandbox.id, () => sandbox.close(options));
    } finally {
      await proxy[Symbol.asyncDispose]();
    }
  };
  const lease: Lease = {
    ...leased,
    close: (options) => (closing ??= close(options)),
    [Symbol.asyncDispose]: () => lease.close().catch(() => undefined),
  };
  return lease;
}
