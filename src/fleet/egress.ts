import { compilePolicy, type EgressPolicy, listPresets, parsePolicy } from "../network/policy.ts";
import { discoverRegistries, loadPresets, type Registries } from "../network/presets.ts";
import { createEgressProxy, type EgressProxy } from "../network/proxy.ts";
import type { TrustedUpstream } from "../network/trusted.ts";

/** Binds policies to this host: what its presets mean and which names its operator trusts. */
export class EgressPolicies {
  readonly #trusted: readonly TrustedUpstream[];
  readonly #env: NodeJS.ProcessEnv;
  #registries: Promise<Registries> | undefined;

  constructor(trusted: readonly TrustedUpstream[], env: NodeJS.ProcessEnv) {
    this.#trusted = trusted;
    this.#env = env;
  }

  /** A policy as written, compiled; registries are looked up only when a preset names them. Throws `invalid_policy`. */
  async compile(raw: string | readonly string[]): Promise<EgressPolicy> {
    const source = parsePolicy(raw);
    if (listPresets(source).length === 0) return compilePolicy(source, { trusted: this.#trusted });
    const presets = await loadPresets(source, await this.#discover());
    return compilePolicy(source, { trusted: this.#trusted, presets });
  }

  makeProxy(policy: EgressPolicy): EgressProxy {
    return createEgressProxy({ policy });
  }

  /** Registry settings of the host's pip and npm, without credentials, for sandboxes whose policy names a preset. */
  async registryEnv(raw: string | readonly string[]): Promise<Readonly<Record<string, string>>> {
    return listPresets(parsePolicy(raw)).length === 0 ? {} : (await this.#discover()).environment;
  }

  async #discover(): Promise<Registries> {
    this.#registries ??= discoverRegistries(this.#env);
    return await this.#registries;
  }
}
