import { compilePolicy, type EgressPolicy, listPresets, parsePolicy } from "../network/policy.ts";
import { createEgressProxy, type EgressProxy } from "../network/proxy.ts";
import type { TrustedUpstream } from "../network/trusted.ts";

/** Binds policies to this host: what its presets mean and which names its operator trusts. */
export class EgressPolicies {
  readonly #trusted: readonly TrustedUpstream[];

  constructor(trusted: readonly TrustedUpstream[], _env: NodeJS.ProcessEnv) {
    this.#trusted = trusted;
  }

  /** A policy as written, compiled; registries are looked up only when a preset names them. Throws `invalid_policy`. */
  async compile(raw: string | readonly string[]): Promise<EgressPolicy> {
    const source = parsePolicy(raw);
    listPresets(source);
    return compilePolicy(source, { trusted: this.#trusted });
  }

  makeProxy(policy: EgressPolicy): EgressProxy {
    return createEgressProxy({ policy });
  }

  /** Registry settings of the host's pip and npm, without credentials, for sandboxes whose policy names them. */
  async registryEnv(_raw: string | readonly string[]): Promise<Readonly<Record<string, string>>> {
    return {};
  }
}
