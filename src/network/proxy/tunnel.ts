import type { Readable, Writable } from "node:stream";
import { type Authority, canonicaliseName, formatAuthority, isIpHost } from "../address/authority.ts";
import { writeBytes } from "../http/http-body.ts";
import type { ConnectRequest } from "../http/http-request.ts";
import { Refusal } from "../refusal.ts";
import { type ServerName, ServerNameReader } from "./client-hello.ts";
import { reachUpstream } from "./connect-upstream.ts";
import type { GuestSession } from "./session.ts";
import type { UpstreamLink } from "./upstream-connection.ts";

const TLS_PORT = 443;
const ESTABLISHED = "HTTP/1.1 200 Connection established\r\n\r\n";
/** Fatal alert `unrecognized_name`: TLS clients name it where a bare close would only be a reset. */
const ALERT = Buffer.from([21, 3, 1, 0, 2, 2, 112]);

/**
 * A CONNECT tunnel. On port 443 nothing flows either way before a ClientHello named the host of the CONNECT; on other
 * ports TLS is checked alike, and anything else passes at once.
 */
export async function serveTunnel(session: GuestSession, request: ConnectRequest): Promise<void> {
  const link = await reachUpstream(session, request);
  session.phase = "tunnel";
  const isTlsOnly = link.authority.port === TLS_PORT;
  const closed = awaitBothClosed(session, link);
  session.stream.write(ESTABLISHED);
  if (!isTlsOnly) openDownstream(session, link);
  const first = await readChecked(session, link, isTlsOnly);
  if (!first) return;
  if (isTlsOnly) openDownstream(session, link);
  const bytes = Buffer.concat([first, session.reader.release()]);
  if (bytes.length > 0) {
    link.meter.sent(bytes.length);
    await writeBytes(link.socket, bytes);
  }
  pump(session.stream, link.socket, (count) => link.meter.sent(count));
  await closed;
}

function openDownstream(session: GuestSession, link: UpstreamLink): void {
  link.meter.accept();
  pump(link.socket, session.stream, (bytes) => link.meter.received(bytes));
}

/** The first guest bytes once they passed; undefined when the guest was refused or left, and the tunnel is over. */
async function readChecked(session: GuestSession, link: UpstreamLink, isTlsOnly: boolean): Promise<Buffer | undefined> {
  try {
    const first = await readFirstBytes(session, link.authority, isTlsOnly);
    if (session.failure) throw session.failure;
    if (first.length > 0 || !isTlsOnly) return first;
    link.meter.accept();
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    if (!session.failure) recordRefusal(session, link, thrown);
    session.stream.end(ALERT);
  }
  link.socket.destroy();
  return undefined;
}

function recordRefusal({ account }: GuestSession, { meter, authority }: UpstreamLink, refusal: Refusal): void {
  if (meter.isAccepted) account.refuse(authority, refusal.verdict, refusal.message);
  else meter.refuse(refusal.verdict, refusal.message);
}

/**
 * Bytes up to a ClientHello that names the host, or the first ones that are no TLS; empty when the guest sends none.
 */
async function readFirstBytes(session: GuestSession, authority: Authority, isTlsOnly: boolean): Promise<Buffer> {
  const hello = new ServerNameReader();
  const chunks: Buffer[] = [];
  const { headTimeoutMs } = session.shared.budgets;
  let timer: NodeJS.Timeout | undefined;
  let name: ServerName = { kind: "more" };
  try {
    for (let chunk = await session.reader.next(); chunk; chunk = await session.reader.next()) {
      timer ??= setTimeout(
        () => session.cut(new Refusal(408, "denied", "the ClientHello took too long")),
        headTimeoutMs,
      );
      chunks.push(chunk);
      name = hello.push(chunk);
      if (name.kind !== "more") break;
    }
    if (chunks.length > 0) assertServerName(name, authority, isTlsOnly, session.shared.policy.shown);
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}

function assertServerName(name: ServerName, authority: Authority, isTlsOnly: boolean, policyText: string): void {
  const problem = findNameProblem(name, authority, isTlsOnly);
  if (!problem) return;
  throw new Refusal(403, "denied", `policy "${policyText}": ${formatAuthority(authority)} ${problem}`);
}

function findNameProblem(name: ServerName, { host }: Authority, isTlsOnly: boolean): string | undefined {
  switch (name.kind) {
    case "name": {
      const canonical = canonicaliseName(name.name);
      if (name.name === host || (canonical.ok && canonical.value === host)) return undefined;
      return `got a TLS handshake for another host (${canonical.ok ? canonical.value : "an invalid name"})`;
    }
    case "absent":
      return isIpHost(host) ? undefined : "got a TLS handshake without a server name";
    case "hidden":
      return "got a TLS handshake that hides its server name (encrypted ClientHello)";
    case "invalid":
      return isTlsOnly ? "takes TLS only, and the first bytes are not a ClientHello" : undefined;
    case "more":
      return isTlsOnly ? "got an unfinished ClientHello" : undefined;
  }
}

function pump(from: Readable, to: Writable, onBytes: (bytes: number) => void): void {
  const resume = (): void => void from.resume();
  from.on("data", (chunk: Buffer) => {
    onBytes(chunk.length);
    if (to.write(chunk)) return;
    from.pause();
    to.once("drain", resume);
  });
  from.once("end", () => to.end());
  if (from.readableEnded) to.end();
  from.resume();
}

/** A side that closes after its end is waited for; one that breaks takes the other with it. */
async function awaitBothClosed({ stream }: GuestSession, { socket }: UpstreamLink): Promise<void> {
  const guest = Promise.withResolvers<void>();
  const upstream = Promise.withResolvers<void>();
  stream.once("close", guest.resolve);
  socket.once("close", () => {
    if (!socket.readableEnded && !stream.writableEnded) stream.destroy();
    upstream.resolve();
  });
  if (stream.destroyed) guest.resolve();
  if (socket.destroyed) upstream.resolve();
  await Promise.all([guest.promise, upstream.promise]);
}
