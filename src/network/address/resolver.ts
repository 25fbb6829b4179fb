import { promises as dns } from "node:dns";

export interface ResolveOptions {
  readonly signal: AbortSignal;
  /** The name is trusted: it resolves as the host's own programs resolve it, hosts file included. */
  readonly isTrusted: boolean;
}

/** Addresses of a name, in the order to dial them. One call is one resolution; nobody asks twice for a connection. */
export type Resolve = (name: string, options: ResolveOptions) => Promise<readonly string[]>;

const QUERY_TIMEOUT_MS = 1500;
const QUERY_TRIES = 3;
/** How long one address family waits for the other once it has answers. */
const OTHER_FAMILY_MS = 500;

export const resolveName: Resolve = async (name, { signal, isTrusted }) => {
  if (isTrusted) return (await dns.lookup(name, { all: true, order: "verbatim" })).map((entry) => entry.address);
  const resolver = new dns.Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
  const cancel = (): void => resolver.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    return await resolveBoth(resolver, name);
  } finally {
    signal.removeEventListener("abort", cancel);
    resolver.cancel();
  }
};

async function resolveBoth(resolver: dns.Resolver, name: string): Promise<string[]> {
  const found: [v4: string[], v6: string[]] = [[], []];
  const queries = [
    resolver.resolve4(name).then((answers) => (found[0] = answers)),
    resolver.resolve6(name).then((answers) => (found[1] = answers)),
  ];
  const all = Promise.allSettled(queries);
  await Promise.any(queries).catch(({ errors }: AggregateError) => {
    throw errors[0];
  });
  await waitAtMost(all, OTHER_FAMILY_MS);
  return interleave(...found);
}

/** IPv4 first: a broken IPv6 path is common where sandboxes run. */
export function interleave(v4: readonly string[], v6: readonly string[]): string[] {
  const longest = Math.max(v4.length, v6.length);
  return Array.from({ length: longest }, (_, i) => [v4[i], v6[i]])
    .flat()
    .filter((address) => address !== undefined);
}

async function waitAtMost(promise: Promise<unknown>, ms: number): Promise<void> {
  const { promise: expired, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, expired]);
  clearTimeout(timer);
}
