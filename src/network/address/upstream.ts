import type { Socket } from "node:net";
import { Deadline, raceSignal } from "../../lib/deadline.ts";
import { Refusal } from "../refusal.ts";
import { findDenial } from "./addresses.ts";
import { type Authority, formatAuthority, isIpHost } from "./authority.ts";
import { type Dial, dialFirst } from "./dial.ts";
import type { Resolve } from "./resolver.ts";
import type { TrustedUpstream } from "./trusted-upstreams.ts";

export interface UpstreamEdges {
  readonly resolve: Resolve;
  readonly dial: Dial;
  readonly resolveTimeoutMs: number;
  readonly dialTimeoutMs: number;
}

export interface UpstreamTarget {
  readonly authority: Authority;
  readonly trusted: TrustedUpstream | undefined;
  /** The policy's text for refusals. */
  readonly policyText: string;
}

const MAX_ANSWERS = 64;
const MAX_DIALLED = 8;

/**
 * Resolves once, vets every answer, and dials the vetted literals. Throws a Refusal, or the signal's reason if that is
 * one.
 */
export async function openUpstream(target: UpstreamTarget, edges: UpstreamEdges, signal: AbortSignal): Promise<Socket> {
  const addresses = await listAddresses(target, edges, signal);
  if (!target.trusted) assertPublic(target, addresses);
  const { authority } = target;
  using deadline = Deadline.after(edges.dialTimeoutMs, signal);
  try {
    return await dialFirst(addresses.slice(0, MAX_DIALLED), authority.port, edges.dial, deadline);
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    const where = formatAuthority(authority);
    if (deadline.timedOut) throw new Refusal(504, "failed", `${where} did not answer within ${edges.dialTimeoutMs} ms`);
    throw new Refusal(502, "failed", `${where} cannot be reached (${errorCode(thrown)})`);
  }
}

async function listAddresses(
  target: UpstreamTarget,
  edges: UpstreamEdges,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { authority, trusted, policyText } = target;
  if (trusted?.address !== undefined) return [trusted.address];
  if (isIpHost(authority.host)) return [authority.host];
  const addresses = await resolveOnce(authority.host, edges, signal, trusted !== undefined);
  if (addresses.length === 0) throw new Refusal(502, "failed", `${authority.host} does not resolve`);
  if (addresses.length <= MAX_ANSWERS) return addresses;
  throw new Refusal(403, "denied", `policy "${policyText}": ${authority.host} has more than ${MAX_ANSWERS} addresses`);
}

async function resolveOnce(
  name: string,
  edges: UpstreamEdges,
  signal: AbortSignal,
  isTrusted: boolean,
): Promise<readonly string[]> {
  using deadline = Deadline.after(edges.resolveTimeoutMs, signal);
  try {
    return await raceSignal(edges.resolve(name, { signal: deadline.signal, isTrusted }), deadline.signal);
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    if (deadline.timedOut)
      throw new Refusal(504, "failed", `${name} did not resolve within ${edges.resolveTimeoutMs} ms`);
    throw new Refusal(502, "failed", `${name} does not resolve (${errorCode(thrown)})`);
  }
}

/** One private answer refuses the name: a rebinding zone mixes them on purpose. */
function assertPublic({ authority, policyText }: UpstreamTarget, addresses: readonly string[]): void {
  const denial = addresses.map((address) => findDenial(address)).find((found) => found !== undefined);
  if (denial === undefined) return;
  const what = isIpHost(authority.host) ? "is" : "resolves to";
  const reason = `${formatAuthority(authority)} ${what} an address that is not public (${denial})`;
  throw new Refusal(403, "denied", `policy "${policyText}": ${reason}`);
}

function errorCode(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return "code" in thrown ? String(thrown.code) : thrown.message;
}
