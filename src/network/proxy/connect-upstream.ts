import { ConnectionMeter } from "../account/connection-meter.ts";
import { type Authority, formatAuthority, formatHost, isIpHost } from "../address/authority.ts";
import { openUpstream } from "../address/upstream.ts";
import type { ProxyRequest } from "../http/http-request.ts";
import type { Decision } from "../policy/policy.ts";
import { Refusal } from "../refusal.ts";
import type { GuestSession } from "./session.ts";
import { isReusable, makeLink, type UpstreamLink } from "./upstream-connection.ts";

/**
 * Decides on a request and connects to its upstream: the kept-alive link where it fits, otherwise a new one. Nothing
 * is looked up for a name that no rule names. Every outcome stands in the call's account; a refusal is thrown.
 */
export async function reachUpstream(session: GuestSession, request: ProxyRequest): Promise<UpstreamLink> {
  const { authority, decision } = decide(session, request);
  const { trusted } = decision;
  const spent = session.shared.spend(0, 0);
  if (spent !== undefined) throw refuse(session, authority, new Refusal(503, "denied", spent));
  if (session.link && isReusable(session.link, authority, trusted)) return session.link;
  session.dropLink();
  session.target = { authority, trusted };
  if (session.dials++ > 0) await session.awaitTurn();
  session.link = await connectUpstream(session, authority, decision);
  return session.link;
}

function decide(
  session: GuestSession,
  request: ProxyRequest,
): { authority: Authority; decision: Decision & { allowed: true } } {
  const { policy } = session.shared;
  if (!request.authority.ok) {
    const claimed = { host: showClaimedHost(request.authorityText), port: 0 };
    const reason = `policy "${policy.shown}": the host is not valid (${request.authority.reason})`;
    throw refuse(session, claimed, new Refusal(403, "denied", reason));
  }
  const authority = request.authority.value;
  const decision = policy.decide(authority);
  if (decision.allowed) return { authority, decision };
  const hint = `To allow it, add "${suggestEntry(authority)}" to the network policy (now "${policy.shown}").`;
  throw refuse(session, authority, new Refusal(403, "denied", decision.reason, hint));
}

function refuse(session: GuestSession, authority: Authority, refusal: Refusal): Refusal {
  session.account.refuse(authority, refusal.verdict, refusal.message);
  return refusal;
}

async function connectUpstream(
  session: GuestSession,
  authority: Authority,
  decision: Decision & { allowed: true },
): Promise<UpstreamLink> {
  const { shared, account } = session;
  const meter = new ConnectionMeter(account, authority, shared.clock, (tx, rx) => session.spend(tx, rx));
  const target = { authority, trusted: decision.trusted, policyText: shared.policy.shown };
  try {
    const socket = await openUpstream(target, shared.edges, session.signal);
    meter.dialled();
    return makeLink(authority, decision.trusted, socket, meter);
  } catch (thrown) {
    if (thrown instanceof Refusal) meter.refuse(thrown.verdict, thrown.message);
    throw thrown;
  }
}

/** What the guest claimed, fit for a record: no credentials, visible characters, bounded. */
function showClaimedHost(text: string): string {
  return text
    .slice(text.lastIndexOf("@") + 1)
    .replaceAll(/[^!-~]/g, "?")
    .slice(0, 253);
}

function suggestEntry(authority: Authority): string {
  const hasDefaultPort = authority.port === 80 || authority.port === 443;
  return hasDefaultPort && !isIpHost(authority.host) ? formatHost(authority.host) : formatAuthority(authority);
}
