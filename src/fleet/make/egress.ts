import { once } from "node:events";
import { connect } from "node:net";
import { PaddockError } from "../../errors/error.ts";
import type { TrustedUpstream } from "../../network/address/trusted-upstreams.ts";
import { compilePolicy, type EgressPolicy, listPresets, parsePolicy } from "../../network/policy/policy.ts";
import { discoverRegistries, loadPresets, type Registries } from "../../network/policy/presets.ts";
import { createEgressProxy, type EgressProxy } from "../../network/proxy/proxy.ts";

const CONNECT_MS = 5000;

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

  /**
   * Throws `registry_unreachable` when a registry that the policy's presets name takes no connection from this host.
   */
  async assertReachable(raw: string | readonly string[]): Promise<void> {
    const presets = await loadPresets(parsePolicy(raw), await this.#discover()).catch((cause: unknown) => {
      throw new PaddockError("registry_unreachable", `a registry could not be asked where its files lie`, { cause });
    });
    const upstreams = Object.values(presets).flat();
    await Promise.all(upstreams.map(({ name, port, address }) => assertTakesConnections(address ?? name, port)));
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

async function assertTakesConnections(host: string, port: number): Promise<void> {
  const socket = connect({ host, port });
  const deadline = AbortSignal.timeout(CONNECT_MS);
  try {
    await once(socket, "connect", { signal: deadline });
  } catch (cause) {
    const why = deadline.aborted
      ? `no answer within ${CONNECT_MS / 1000} s`
      : cause instanceof Error
        ? cause.message
        : "failed";
    throw new PaddockError("registry_unreachable", `${host}:${port}: ${why}`, { cause });
  } finally {
    socket.destroy();
  }
}
