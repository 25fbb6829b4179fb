import { isIpHost, parseAuthority } from "../address/authority.ts";
import type { TrustedUpstream } from "../address/trusted-upstreams.ts";

/** A registry and where its index sends clients for files. */
export interface RegistrySource {
  readonly url: string;
  /** URLs that the registry links to; asked once, and again only after a failure. */
  readonly listLinked: () => Promise<readonly string[]>;
}

/** A registry that cannot be asked is still allowed itself; its files then have to come from the same host. */
export async function listRegistryUpstreams({ url, listLinked }: RegistrySource): Promise<TrustedUpstream[]> {
  const linked = await listLinked().catch(() => []);
  const own = toUpstreams(url);
  // An index names its file hosts; it has no business in pointing at bare addresses of the network it is used from.
  const others = linked.flatMap(toUpstreams).filter((upstream) => !isIpHost(upstream.name));
  return mergeUpstreams([...own, ...others]);
}

export function mergeUpstreams(upstreams: readonly TrustedUpstream[]): TrustedUpstream[] {
  return [...new Map(upstreams.map((upstream) => [`${upstream.name} ${upstream.port}`, upstream])).values()];
}

function toUpstreams(url: string): TrustedUpstream[] {
  const parsed = URL.parse(url);
  if (!parsed || !/^https?:$/.test(parsed.protocol)) return [];
  const authority = parseAuthority(parsed.host, parsed.protocol === "https:" ? 443 : 80);
  return authority.ok ? [{ name: authority.value.host, port: authority.value.port }] : [];
}

/** Remembers the first success of `make`; calls that come meanwhile share it. */
export function rememberSuccess<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((thrown: unknown) => {
      made = undefined;
      throw thrown;
    });
    return made;
  };
}
