import { PaddockError } from "../../errors/error.ts";
import { parseIp } from "./addresses.ts";
import { type Authority, formatAuthority, parseAuthority } from "./authority.ts";

/**
 * A name at one port that the operator's configuration vouches for: it may resolve to addresses that are otherwise
 * refused, or is dialled at `address`. It allows nothing by itself (a rule must still name it), and it never comes
 * from a task or an API.
 */
export interface TrustedUpstream {
  readonly name: string;
  readonly port: number;
  readonly address?: string;
}

/** Trusted upstreams by canonical `host:port`. */
export type TrustedIndex = ReadonlyMap<string, TrustedUpstream>;

export function indexTrusted(upstreams: readonly TrustedUpstream[]): TrustedIndex {
  return new Map(upstreams.map((upstream) => [formatAuthority(canonicaliseTrusted(upstream)), upstream]));
}

function canonicaliseTrusted({ name, port, address }: TrustedUpstream): Authority {
  const host = name.includes(":") ? `[${name}]` : name;
  const authority = parseAuthority(`${host}:${port}`);
  if (!authority.ok) {
    throw new PaddockError("invalid_config", `trusted upstream ${JSON.stringify(name)}: ${authority.reason}`);
  }
  if (address !== undefined && !parseIp(address)) {
    throw new PaddockError("invalid_config", `trusted upstream ${JSON.stringify(name)}: address is not an IP literal`);
  }
  return authority.value;
}
